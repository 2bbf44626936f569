"""Signals: what the app heard from a person. Each is kept once, a node of their memory graph; serving remembers the newest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from core.arrays import Floats
from core.canonical_json import equal_numbers_json
from core.digests import SIGNAL_CONTENT, SIGNAL_ID, keyed
from core.errors import Conflict, Forbidden, InputError
from loops.engine.spec import LoopSpec
from loops.engine.state.values import feature_value
from loops.models import LoopVersion
from privacy.engine.data_types import DATA_TYPES
from privacy.engine.sealing import Cipher, about_memory, about_signal
from privacy.engine.serving_state import KnownValues, merge_known_values, pack_serving_state, unpack_serving_state
from privacy.models import PrivacyBudget, Purpose, ServingState, Signal
from privacy.services.people.data_keys import ciphers

LARGEST_BATCH, LONGEST_SIGNAL_ID = 500, 100
_AHEAD = timedelta(minutes=5)  # a phone's clock may be wrong by so much
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_TRIES = 20


@dataclass(frozen=True)
class SignalInput:
    """One signal as it was sent."""

    signal_id: str
    kind: str
    at: datetime
    values: dict[str, float | str]


@dataclass
class SignalsReceipt:
    """What became of a batch; ``rejected``: index and reason."""

    added: int = 0
    unchanged: int = 0
    clamped: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)


@transaction.atomic
def signals_add(*, loop_version: LoopVersion, person_id: int, heard: Sequence[SignalInput]) -> SignalsReceipt:
    """Keep a batch of one person's signals, all good ones or, when the transaction fails, none; bad items are named and left out.

    Raises Forbidden without consent to personalization, InputError for a batch that is empty or too large.
    """
    if not 0 < len(heard) <= LARGEST_BATCH:
        raise InputError(f"a batch has 1 to {LARGEST_BATCH} signals, not {len(heard)}")
    cipher = ciphers([person_id])[person_id]
    budget = PrivacyBudget.objects.select_for_update().get(person_id=person_id)
    if not budget.consent_mask & Purpose.PERSONALIZATION.bit:
        raise Forbidden("the person has not consented to personalization, so nothing may be kept of what they say")
    intake = SignalsReceipt()
    fresh = _sorted_out(loop_version, person_id, heard, intake)
    if fresh:
        Signal.objects.bulk_create(_sealed(signal, values, cipher) for signal, values in fresh)
        _remember(loop_version, person_id, fresh, cipher)
    return intake


def _sealed(signal: Signal, values: Floats, cipher: Cipher) -> Signal:
    signal.payload = cipher.seal(values.astype("<f8").tobytes(), about_signal(signal.person_id, signal.signal_key))
    return signal


def _sorted_out(
    loop_version: LoopVersion, person_id: int, heard: Sequence[SignalInput], intake: SignalsReceipt
) -> list[tuple[Signal, Floats]]:
    """The signals to keep with their values, not sealed yet; all others are counted or named. The person's row is locked, so no
    id can come in meanwhile.
    """
    known = _contents(person_id, [_key(one) for one in heard])
    fresh: list[tuple[Signal, Floats]] = []
    for index, one in enumerate(heard):
        try:
            payload, clamped = _payload(loop_version.spec, one)
            signal = _signal(loop_version, person_id, one)
            before, content = known.get(_key(one)), bytes(signal.content_key)
            if before not in (None, content):
                raise InputError("this id came with another content; use a new one for a new signal")
        except InputError as error:
            intake.rejected.append({"index": index, "id": one.signal_id[:LONGEST_SIGNAL_ID], "reason": str(error)})
            continue
        if before is None:
            known[_key(one)] = content
            fresh.append((signal, payload))
            intake.added += 1
            intake.clamped += clamped
        else:
            intake.unchanged += 1
    return fresh


def _contents(person_id: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Signal key -> content key of those that are there already."""
    found = Signal.objects.filter(person_id=person_id, signal_key__in=keys).values_list("signal_key", "content_key")
    return {bytes(key): bytes(content) for key, content in found}


def _key(one: SignalInput) -> bytes:
    return keyed(SIGNAL_ID, one.signal_id)


def _payload(spec: LoopSpec, one: SignalInput) -> tuple[Floats, int]:
    if not 0 < len(one.signal_id) <= LONGEST_SIGNAL_ID:
        raise InputError(f"id has 1 to {LONGEST_SIGNAL_ID} characters")
    if one.kind not in DATA_TYPES:
        raise InputError(f"type {one.kind!r} is not known; it is one of {', '.join(DATA_TYPES)}")
    if one.at.tzinfo is None:
        raise InputError("at needs an offset from UTC")
    if one.at > timezone.now() + _AHEAD:
        raise InputError("at lies in the future")
    if one.at < _EARLIEST:
        raise InputError(f"at lies before {_EARLIEST:%Y}")
    if not one.values:
        raise InputError("values is empty")
    payload, clamped = np.full(len(spec.features), np.nan), 0
    for name, value in one.values.items():
        if name not in spec.feature_names:
            raise InputError(f"values.{name} is no feature of loop {spec.name!r}")
        i = spec.feature_names.index(name)
        payload[i], out = feature_value(spec, i, value)
        clamped += out
    return payload, clamped


def _signal(loop_version: LoopVersion, person_id: int, one: SignalInput) -> Signal:
    """The row of one signal without its payload; the same moment in another time zone is the same content."""
    content = {"kind": one.kind, "at": one.at.astimezone(UTC).isoformat(), "values": one.values}
    return Signal(
        person_id=person_id,
        loop_version=loop_version,
        signal_key=_key(one),
        content_key=keyed(SIGNAL_CONTENT, equal_numbers_json(content)),
        kind=one.kind,
        observed_at=one.at,
    )


def _remember(
    loop_version: LoopVersion, person_id: int, fresh: Sequence[tuple[Signal, Floats]], cipher: Cipher
) -> None:
    """Newer values over older ones, unless serving has heard something newer; moved only from the version that was read."""
    spec, about = loop_version.spec, about_memory(person_id, loop_version.loop_id)
    nothing = np.full(len(spec.features), np.nan)
    for _ in range(_TRIES):
        state, _new = ServingState.objects.get_or_create(person_id=person_id, loop_id=loop_version.loop_id)
        heard, known = (
            unpack_serving_state(spec, cipher.open(bytes(state.memory), about)) if state.memory else (None, None)
        )
        memory = KnownValues(nothing) if heard is None else KnownValues(np.array(heard), state.observed_at)
        for signal, values in sorted(fresh, key=lambda one: one[0].observed_at):
            memory = merge_known_values(memory, values, signal.observed_at, keeps=spec.availability.memory_seconds)
        moved = ServingState.objects.filter(pk=state.pk, version=state.version).update(
            memory=cipher.seal(pack_serving_state(spec, memory.values.tolist(), known), about),
            observed_at=memory.at,
            version=F("version") + 1,
        )
        if moved:
            return
    raise Conflict("the person's state kept changing meanwhile; send the batch again")
