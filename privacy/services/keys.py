"""People's data keys: made when first needed, opened with the master keys, wrapped anew when those rotate, destroyed for good."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from django.conf import settings
from django.db import transaction

from privacy.engine.sealing import CannotOpen, master_key, new_key, unwrap, wrap
from privacy.models import DataKey, Person
from r3al_project.common.errors import Conflict

CHUNK = 500


@transaction.atomic
def data_keys(person_ids: Collection[int]) -> dict[int, bytes]:
    """The data key of each person, made where there is none. Raises Conflict for somebody erased, or a missing master key."""
    found = _opened(person_ids)
    missing = sorted(set(person_ids) - set(found))
    if missing:
        if Person.objects.filter(pk__in=missing, erased_at__isnull=False).exists():
            raise Conflict("the person was erased, so nothing can be kept of them")
        version = current_version()
        fresh = {pk: wrap(_master(version), new_key(), version=version, person_id=pk) for pk in missing}
        rows = [DataKey(person_id=pk, wrapped=wrapped, master_version=version) for pk, wrapped in fresh.items()]
        DataKey.objects.bulk_create(rows, ignore_conflicts=True)  # of two who make one at once, the first one's stays
        found |= _opened(missing)
    return found


def data_keys_known(person_ids: Collection[int]) -> dict[int, bytes]:
    """The data keys that there are; who has none was erased or never had anything sealed."""
    return _opened(person_ids)


def keys_rotate(*, limit: int | None = None) -> int:
    """Wrap keys of older master versions with the current one, in chunks that each commit: it can be stopped and run again.

    Returns how many were wrapped anew; what they seal is not touched. Raises Conflict when an older master key is missing.
    """
    done = 0
    while limit is None or done < limit:
        moved = _rotate_chunk(CHUNK if limit is None else min(CHUNK, limit - done))
        if not moved:
            break
        done += moved
    return done


@transaction.atomic
def _rotate_chunk(size: int) -> int:
    version = current_version()
    old = DataKey.objects.select_for_update().exclude(master_version=version).order_by("person_id")[:size]
    rows = list(old)
    for row in rows:
        key = _unwrapped(row)
        row.wrapped = wrap(_master(version), key, version=version, person_id=row.person_id)
        row.master_version = version
    DataKey.objects.bulk_update(rows, ["wrapped", "master_version"])
    return len(rows)


def keys_waiting() -> int:
    """How many keys are still wrapped by an older master version."""
    return DataKey.objects.exclude(master_version=current_version()).count()


def current_version() -> int:
    """The master version that seals: the highest there is."""
    return max(settings.DATA_MASTER_KEYS)


def _opened(person_ids: Collection[int]) -> dict[int, bytes]:
    return {row.person_id: _unwrapped(row) for row in DataKey.objects.filter(person_id__in=person_ids)}


def _unwrapped(row: DataKey) -> bytes:
    try:
        return unwrap(
            _master(row.master_version), bytes(row.wrapped), version=row.master_version, person_id=row.person_id
        )
    except CannotOpen:
        raise Conflict(
            f"{row} cannot be opened with version {row.master_version} of DATA_MASTER_KEYS; it holds another secret"
        ) from None


def _master(version: int) -> bytes:
    secret = settings.DATA_MASTER_KEYS.get(version)
    if secret is None:
        raise Conflict(f"DATA_MASTER_KEYS lacks version {version}, which data keys are wrapped with; put it back")
    return _derived(secret)


@lru_cache(maxsize=16)
def _derived(secret: str) -> bytes:
    return master_key(secret)
