"""Unwrap people's data keys with the master keys, and open the states they seal."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache

import numpy as np
from django.conf import settings

from core.arrays import Floats
from core.errors import Conflict
from loops.engine.spec import LoopSpec
from privacy.engine.sealing import (
    CannotOpen,
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

log = logging.getLogger(__name__)


def ciphers_known(person_ids: Collection[int]) -> dict[int, Cipher]:
    """Return a cipher by id for each person who has a data key. A person without one was erased, or has no sealed data.

    Call it before reading the rows: if the key is gone by then, its rows are gone too.
    Raises Conflict when a master key is missing or different.
    """
    rows = DataKey.objects.filter(person_id__in=person_ids).values_list("person_id", "wrapped", "master_version")
    return {pk: cipher_of(pk, bytes(wrapped), version) for pk, wrapped, version in rows}


def states_opened(decisions: Sequence[Decision]) -> dict[int, Floats]:
    """Return the state (F,) of each decision by its id, without the decisions of people erased meanwhile.

    Raises CannotOpen for a damaged state, Conflict when a master key is missing or different.
    """
    keys = ciphers_known({d.person_id for d in decisions})
    return {d.pk: state_of(d, keys[d.person_id]) for d in decisions if d.person_id in keys}


def payload_opened(cipher: Cipher, sealed: bytes | memoryview, about: bytes, otherwise: bytes) -> bytes:
    """Open one payload among many. A damaged one is logged and replaced by ``otherwise``, so that it stops nothing else.

    The Trust Vault covers states and outcomes, so a verification says that one was changed. It covers no signal.
    """
    try:
        return cipher.open(bytes(sealed), about)
    except CannotOpen:
        log.error(
            "a sealed record cannot be opened, so it is left out; unless it is a signal, `manage.py verify_vault` finds it"
        )
        return otherwise


def state_of(decision: Decision, cipher: Cipher) -> Floats:
    """Return the state (F,) at a decision. Raises CannotOpen for a damaged one."""
    plain = open_state(cipher, bytes(decision.state), person_id=decision.person_id, row_key=decision.row_key)
    return np.frombuffer(plain, dtype="<f8")


def serving_state_opened(person: PersonServingState, *, spec: LoopSpec, loop_id: int, now: datetime) -> OpenedState:
    """Open the serving state of a person who has a data key.

    The newest values are dropped once all of them are older than the loop's ``memory``. Raises Conflict when the master key is
    missing or different.
    """
    pk, version, at = person.person_id, person.master_version, person.observed_at
    try:
        cipher, plain = open_serving_state(
            master(version), person.wrapped, person.memory, version=version, person_id=pk, loop_id=loop_id
        )
    except CannotUnwrap:
        raise _other_secret(pk, version) from None
    newest, at_decision = unpack_serving_state(spec, plain) if plain else (None, None)
    if at is not None and (now - at).total_seconds() > spec.availability.memory_seconds:
        newest = None
    return OpenedState(cipher, newest, at_decision)


def cipher_of(person_id: int, wrapped: bytes, master_version: int) -> Cipher:
    """Return the cipher of one wrapped data key. Raises Conflict when the master key is missing or different."""
    try:
        return unwrap_cipher(master(master_version), wrapped, version=master_version, person_id=person_id)
    except CannotUnwrap:
        raise _other_secret(person_id, master_version) from None


def key_unwrapped(person_id: int, wrapped: bytes, master_version: int) -> bytes:
    """Unwrap a data key. Raises Conflict when the master key is missing or different."""
    try:
        return unwrap(master(master_version), wrapped, version=master_version, person_id=person_id)
    except CannotUnwrap:
        raise _other_secret(person_id, master_version) from None


def _other_secret(person_id: int, master_version: int) -> Conflict:
    return Conflict(
        f"the data key of person {person_id} cannot be opened with version {master_version} of DATA_MASTER_KEYS; that "
        "version now holds another secret, so restore the original one"
    )


def master_version_current() -> int:
    """Return the master key version that wraps new data keys: the highest one."""
    return max(settings.DATA_MASTER_KEYS)


def master(version: int) -> Cipher:
    """Return the master key of a version as a cipher. Raises Conflict for a missing version."""
    secret = settings.DATA_MASTER_KEYS.get(version)
    if secret is None:
        raise Conflict(f"DATA_MASTER_KEYS lacks version {version}, which wraps some data keys; put it back")
    return _derived(secret)


@lru_cache(maxsize=16)
def _derived(secret: str) -> Cipher:
    return master_cipher(secret)
