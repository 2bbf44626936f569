"""Opening what is sealed: people's data keys, unwrapped with the master keys, as ciphers ready for use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache

import numpy as np
from django.conf import settings

from core.arrays import Floats
from core.errors import Conflict
from loops.engine.spec import LoopSpec
from privacy.engine.sealing import (
    CannotUnwrap,
    Cipher,
    master_cipher,
    open_serving_state,
    open_state,
    unwrap,
    unwrap_cipher,
)
from privacy.engine.serving_state import OpenedState, PersonServingState, unpack_serving_state
from privacy.models import DataKey, Decision


def ciphers_known(person_ids: Collection[int]) -> dict[int, Cipher]:
    """A cipher for each person who has a key; who has none was erased or never had anything sealed. Raises Conflict.

    Ask before the rows are read: a key that is gone by then took its rows along.
    """
    found = DataKey.objects.filter(person_id__in=person_ids).values_list("person_id", "wrapped", "master_version")
    return {pk: cipher_of(pk, bytes(wrapped), version) for pk, wrapped, version in found}


def states_opened(decisions: Sequence[Decision]) -> dict[int, Floats]:
    """State (F,) by id of each decision; those of a person who was erased meanwhile are left out. Raises CannotOpen, Conflict."""
    keys = ciphers_known({d.person_id for d in decisions})
    return {d.pk: state_of(d, keys[d.person_id]) for d in decisions if d.person_id in keys}


def state_of(decision: Decision, cipher: Cipher) -> Floats:
    """State (F,) at a decision. Raises CannotOpen."""
    plain = open_state(cipher, bytes(decision.state), person_id=decision.person_id, row_key=decision.row_key)
    return np.frombuffer(plain, dtype="<f8")


def serving_state_opened(person: PersonServingState, *, spec: LoopSpec, loop_id: int, now: datetime) -> OpenedState:
    """What serving keeps of a person who has a key. What was heard is left out once the newest of it is older than the loop's
    ``memory``. Raises Conflict as ``key_unwrapped`` does.
    """
    pk, version, at = person.person_id, person.master_version, person.observed_at
    try:
        cipher, plain = open_serving_state(
            master(version), person.wrapped, person.memory, version=version, person_id=pk, loop_id=loop_id
        )
    except CannotUnwrap:
        raise _other_secret(pk, version) from None
    heard, before = unpack_serving_state(spec, plain) if plain else (None, None)
    if at is not None and (now - at).total_seconds() > spec.availability.memory_seconds:
        heard = None
    return OpenedState(cipher, heard, before)


def cipher_of(person_id: int, wrapped: bytes, master_version: int) -> Cipher:
    """The cipher of one wrapped key. Raises Conflict as ``key_unwrapped`` does."""
    try:
        return unwrap_cipher(master(master_version), wrapped, version=master_version, person_id=person_id)
    except CannotUnwrap:
        raise _other_secret(person_id, master_version) from None


def key_unwrapped(person_id: int, wrapped: bytes, master_version: int) -> bytes:
    """A data key. Raises Conflict when the master key is missing or another."""
    try:
        return unwrap(master(master_version), wrapped, version=master_version, person_id=person_id)
    except CannotUnwrap:
        raise _other_secret(person_id, master_version) from None


def _other_secret(person_id: int, master_version: int) -> Conflict:
    return Conflict(
        f"the data key of person {person_id} cannot be opened with version {master_version} of DATA_MASTER_KEYS; it holds "
        "another secret"
    )


def master_version_current() -> int:
    """The master version that seals: the highest there is."""
    return max(settings.DATA_MASTER_KEYS)


def master(version: int) -> Cipher:
    """The master key of a version. Raises Conflict for one that is missing."""
    secret = settings.DATA_MASTER_KEYS.get(version)
    if secret is None:
        raise Conflict(f"DATA_MASTER_KEYS lacks version {version}, which data keys are wrapped with; put it back")
    return _derived(secret)


@lru_cache(maxsize=16)
def _derived(secret: str) -> Cipher:
    return master_cipher(secret)
