"""Write a notice in the transaction of the act that it tells of: the outbox. What is rolled back tells nobody."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import Model

from notices.engine.kinds import LONGEST_FACT, LONGEST_SENTENCE, Fact, notice_kind_named
from notices.models import LONGEST_NOTICE_KEY, Notice

FRONT_PAGE = "/admin/"


def record_page(row: Model) -> str:
    """Return the path of a record's page in the admin. Workers do not load the pages to ask them."""
    return f"{list_page(type(row))}{row.pk}/change/"


def list_page(model: type[Model]) -> str:
    """Return the path of a list of records in the admin."""
    return f"{FRONT_PAGE}{model._meta.app_label}/{model._meta.model_name}/"


def notice_record(
    *, kind: str, key: str, subject: str, facts: Mapping[str, Fact] | None = None, link: str = ""
) -> bool:
    """Record that something happened. It is sent once the caller's transaction has committed. Returns whether it is new.

    Call it before ``vault_append``, which takes the last lock of a transaction.

    Args:
        kind: a name in NOTICE_KINDS.
        key: says which happening it is, such as ``deployment 12 started``. A second notice under the same key changes nothing.
        subject: what it is about, such as the name of a slot. Never a person.
        facts: exactly those that the kind's sentence names. Texts are the platform's own words: nothing that somebody typed,
            and nothing about a person. Longer texts are cut.
        link: the path of the page that shows more.
    Raises: InputError for an unknown kind. ValueError for other facts than the kind has, or a key that is empty or too long.
    """
    declared, given = notice_kind_named(kind), dict(facts or {})
    if given.keys() != declared.facts:
        raise ValueError(f"a notice {kind} has the facts {sorted(declared.facts)}, not {sorted(given)}")
    if not 0 < len(key) <= LONGEST_NOTICE_KEY:
        raise ValueError(f"the key of a notice {kind} has {len(key)} characters")
    if Notice.objects.filter(key=key).exists():
        return False
    line = {name: _line(value) if isinstance(value, str) else value for name, value in given.items()}
    about = _line(subject)
    notice = Notice(
        key=key,
        kind=kind,
        level=declared.level,
        subject=about,
        sentence=declared.said(about, line)[:LONGEST_SENTENCE],
        facts=line,
        link=link,
    )
    Notice.objects.bulk_create([notice], ignore_conflicts=True)  # somebody may be faster with the same key
    return True


def _line(text: str) -> str:
    """Return a text in one line of bounded length, so that it fits a mail's subject."""
    return " ".join(text.split())[:LONGEST_FACT]
