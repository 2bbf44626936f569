"""A notice is written with the act that it tells of: once a key, and not at all when the act is rolled back."""

from __future__ import annotations

import pytest
from django.db import transaction

from core.errors import InputError
from notices.models import Notice
from notices.services.record import notice_record

pytestmark = pytest.mark.django_db
FACTS = {"turn": 4, "stage": "train"}


def failed(key: str = "turn 4 failed", **changed: object) -> bool:
    given = {"kind": "turn_failed", "key": key, "subject": "r3al", "facts": FACTS, "link": "/admin/turns/turn/4/"}
    return notice_record(**{**given, **changed})  # type: ignore[arg-type]


def test_a_notice_holds_its_sentence_its_level_and_its_facts() -> None:
    assert failed()
    notice = Notice.objects.get()
    assert notice.sentence == "Turn 4 of r3al failed at its stage train."
    assert (notice.level, notice.facts, notice.link) == ("warning", FACTS, "/admin/turns/turn/4/")
    assert notice.sent_out_at is None and len(notice.public_id.hex) == 32


def test_the_same_happening_is_told_once() -> None:
    assert failed() and not failed(subject="other words") and failed("turn 5 failed")
    assert [n.subject for n in Notice.objects.order_by("pk")] == ["r3al", "r3al"]


def test_what_is_rolled_back_tells_nobody() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert failed()
        raise ZeroDivisionError
    assert not Notice.objects.exists()


@pytest.mark.parametrize("facts", [{}, {"turn": 4}, {**FACTS, "person": "ann"}, {"turn": 4, "stages": "train"}])
def test_a_notice_has_the_facts_of_its_kind_and_no_others(facts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"has the facts \['stage', 'turn'\]"):
        failed(facts=facts)


def test_an_unknown_kind_and_a_bad_key_are_refused() -> None:
    with pytest.raises(InputError, match="there is no kind of notice 'gossip'"):
        failed(kind="gossip")
    for key in ("", "k" * 121):
        with pytest.raises(ValueError, match="characters"):
            failed(key)
    assert not Notice.objects.exists()


def test_texts_are_one_line_and_cut_so_that_a_notice_never_fails_its_act() -> None:
    assert failed(subject="a\r\nBcc: b", facts={"turn": 4, "stage": "x" * 9_999})
    notice = Notice.objects.get()
    assert notice.subject == "a Bcc: b" and len(notice.facts["stage"]) == 200 and len(notice.sentence) <= 500
