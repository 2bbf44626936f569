"""People's data keys: made when first needed, wrapped anew when master keys rotate."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db import connection, transaction

from core.errors import Conflict
from privacy.engine.sealing import Cipher, new_key, wrap
from privacy.models import DataKey, Person
from privacy.selectors.keys import ciphers_known, key_unwrapped, master, master_version_current

ROTATE_CHUNK = 500


@transaction.atomic
def ciphers(person_ids: Collection[int]) -> dict[int, Cipher]:
    """The cipher of each person, their key made where there is none. Raises Conflict for somebody erased or a missing master key.

    Holds the keys, with others, until the caller's transaction ends: an erasure, which begins with the key, waits for what is
    being added. Take them before budgets and decisions, as everything does.
    """
    if not person_ids:
        return {}
    missing = sorted(set(person_ids) - keys_held(person_ids))
    if missing:
        _make(missing)
    return ciphers_known(person_ids)


def keys_held(person_ids: Collection[int]) -> set[int]:
    """Who has a key. Until the caller's transaction ends it cannot be deleted; others may hold and rewrap it. SQLite has one
    writer anyway.
    """
    if connection.vendor != "postgresql":
        return set(DataKey.objects.filter(person_id__in=person_ids).values_list("person_id", flat=True))
    with connection.cursor() as cursor:
        held = "SELECT person_id FROM data_keys WHERE person_id = ANY(%s) ORDER BY person_id FOR KEY SHARE"
        cursor.execute(held, [list(person_ids)])
        return {pk for (pk,) in cursor.fetchall()}


def _make(missing: Sequence[int]) -> None:
    version = master_version_current()
    fresh = {pk: wrap(master(version), new_key(), version=version, person_id=pk) for pk in missing}
    rows = [DataKey(person_id=pk, wrapped=wrapped, master_version=version) for pk, wrapped in fresh.items()]
    DataKey.objects.bulk_create(rows, ignore_conflicts=True)  # of two who make one at once, the first one's stays
    # Asked afterwards: whoever erases a person holds their key until it is gone for good, and making one waits for that.
    if Person.objects.filter(pk__in=missing, erased_at__isnull=False).exists():
        raise Conflict("the person was erased, so nothing can be kept of them")


def keys_rotate(*, limit: int | None = None) -> int:
    """Wrap keys of older master versions with the current one, in chunks that each commit: it can be stopped and run again.

    Returns how many were wrapped anew; what they seal is not touched. Raises Conflict when an older master key is missing.
    """
    done = 0
    while limit is None or done < limit:
        moved = _rotate_chunk(ROTATE_CHUNK if limit is None else min(ROTATE_CHUNK, limit - done))
        if not moved:
            break
        done += moved
    return done


@transaction.atomic
def _rotate_chunk(size: int) -> int:
    version = master_version_current()
    old = DataKey.objects.select_for_update(no_key=True).exclude(master_version=version).order_by("person_id")[:size]
    rows = list(old)
    for row in rows:
        key = key_unwrapped(row.person_id, bytes(row.wrapped), row.master_version)
        row.wrapped = wrap(master(version), key, version=version, person_id=row.person_id)
        row.master_version = version
    DataKey.objects.bulk_update(rows, ["wrapped", "master_version"])
    return len(rows)


def keys_waiting() -> int:
    """How many keys are still wrapped by an older master version."""
    return DataKey.objects.exclude(master_version=master_version_current()).count()
