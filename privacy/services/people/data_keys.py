"""Create people's data keys when first needed, and wrap all keys again when master keys rotate."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db import connection, transaction

from core.errors import Conflict
from privacy.engine.sealing import Cipher, new_key, wrap, wrap_export
from privacy.models import DataKey, ExportKey, Person
from privacy.selectors.exports import export_key_unwrapped
from privacy.selectors.keys import ciphers_known, key_unwrapped, master, master_version_current

ROTATE_CHUNK = 500
_PERSON_LOCKS = 8301  # the class of the advisory locks; the second number is the person's


@transaction.atomic
def ciphers(person_ids: Collection[int]) -> dict[int, Cipher]:
    """Return the cipher of each person, creating missing data keys.

    The keys are share-locked until the caller's transaction ends. An erasure locks the key first, so it waits for the records
    being added. Call this before locking budgets and decisions; every transaction uses that order. Raises Conflict for an erased
    person and for a missing master key.
    """
    if not person_ids:
        return {}
    missing = sorted(set(person_ids) - keys_held(person_ids))
    if missing:
        _make(missing)
    return ciphers_known(person_ids)


@transaction.atomic
def cipher_after_erasure(person_id: int) -> Cipher:
    """Return a person's cipher like ``ciphers``, behind every erasure of them that already waits.

    Among share locks of a row PostgreSQL lets later ones overtake a waiting erasure, so an app that never pauses could hold it up
    for ever. Advisory locks are granted in the order of their requests.
    """
    person_advisory_lock(person_id, shared=True)
    return ciphers([person_id])[person_id]


def person_advisory_lock(person_id: int, *, shared: bool) -> None:
    """Lock a person's number until the caller's transaction ends, before any row. SQLite has one writer and needs no lock."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            name = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
            cursor.execute(f"SELECT {name}({_PERSON_LOCKS}, %s)", [person_id % 2**31])


def keys_held(person_ids: Collection[int]) -> set[int]:
    """Return which people have a data key, and share-lock the keys until the caller's transaction ends.

    A locked key cannot be deleted, but other transactions may lock and rewrap it. SQLite needs no lock, because it has a single
    writer.
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
    DataKey.objects.bulk_create(rows, ignore_conflicts=True)  # of two concurrent inserts the first one stays
    # Checked after the insert: an erasure holds the person's key until it commits, and the insert waits for that.
    if Person.objects.filter(pk__in=missing, erased_at__isnull=False).exists():
        raise Conflict("the person was erased, so no record of them can be stored")


def keys_rotate(*, limit: int | None = None) -> int:
    """Wrap keys of older master versions with the current one, in chunks that each commit. It can be stopped and run again.

    Returns the number of keys wrapped: of people, and of stored exports. What they seal does not change. Raises Conflict when an
    older master key is missing.
    """
    wrapped = 0
    while limit is None or wrapped < limit:
        chunk = _rotate_chunk(ROTATE_CHUNK if limit is None else min(ROTATE_CHUNK, limit - wrapped))
        if not chunk:
            break
        wrapped += chunk
    return wrapped


def _rotate_chunk(size: int) -> int:
    return _rotate_people(size) or _rotate_exports(size)


@transaction.atomic
def _rotate_people(size: int) -> int:
    version = master_version_current()
    old = DataKey.objects.select_for_update(no_key=True).exclude(master_version=version).order_by("person_id")[:size]
    rows = list(old)
    for row in rows:
        key = key_unwrapped(row.person_id, bytes(row.wrapped), row.master_version)
        row.wrapped = wrap(master(version), key, version=version, person_id=row.person_id)
        row.master_version = version
    DataKey.objects.bulk_update(rows, ["wrapped", "master_version"])
    return len(rows)


@transaction.atomic
def _rotate_exports(size: int) -> int:
    version = master_version_current()
    old = ExportKey.objects.select_for_update(no_key=True, of=("self",)).exclude(master_version=version).order_by("pk")
    rows = list(old.select_related("round").defer("round__output")[:size])
    for row in rows:
        place = {"release_id": row.round.release_id, "index": row.round.index}
        row.wrapped = wrap_export(master(version), export_key_unwrapped(row, row.round), version=version, **place)
        row.master_version = version
    ExportKey.objects.bulk_update(rows, ["wrapped", "master_version"])
    return len(rows)


def keys_waiting() -> int:
    """Return the number of keys, of people and of exports, that an older master version still wraps."""
    version = master_version_current()
    return sum(model.objects.exclude(master_version=version).count() for model in (DataKey, ExportKey))
