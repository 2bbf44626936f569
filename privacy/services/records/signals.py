"""Add signals from the app about a person. Each is stored once; the person's serving state keeps the newest values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import F

from core import clock
from core.arrays import Floats
from core.canonical_json import equal_numbers_json
from core.digests import SIGNAL_CONTENT, SIGNAL_ID, keyed
from core.errors import Conflict, InputError, KeyReused
from loops.engine.spec import LoopSpec
from loops.engine.state.values import feature_value
from loops.models import LoopVersion
from privacy.engine.data_types import DATA_TYPES
from privacy.engine.sealing import Cipher, about_serving_state, about_signal
from privacy.engine.serving_state import KnownValues, merge_known_values, pack_serving_state, unpack_serving_state
from privacy.models import Person, ServingState, Signal
from privacy.services.people.consent import personalization_check
from privacy.services.people.data_keys import cipher_after_erasure

LARGEST_BATCH, LONGEST_SIGNAL_ID = 500, 100
FURTHEST_AHEAD = timedelta(
    days=1
)  # a signal may be dated this far ahead, since a device's clock or its zone may be wrong
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_TRIES = 20  # attempts at updating a serving state that others update too


REJECTION_CODES = ("invalid-input", "key-reused", "clock-ahead", "before-erasure")


class ClockAhead(InputError):
    """Report a signal that is dated further ahead than any device's clock or zone explains."""


class BeforeErasure(InputError):
    """Report a signal from before the person's erasure. What was erased does not come back."""


class NoValidSignal(InputError):
    """Report a batch of which no signal can be stored."""

    def __init__(self, rejected: Sequence[dict[str, Any]]) -> None:
        super().__init__(f"no signal of the batch can be stored; the first: {rejected[0]['reason']}")
        self.members = {"rejected": list(rejected)}  # each with its index


@dataclass(frozen=True)
class SignalInput:
    """One signal as sent by the app. ``values`` maps feature names to numbers or category names."""

    signal_id: str
    kind: str
    at: datetime
    values: dict[str, float | str]


@dataclass(frozen=True)
class UnreadableSignal:
    """A signal whose body does not fit. ``reason`` names the ``field`` and says what to send instead."""

    signal_id: str
    field: str
    reason: str


GivenSignal = SignalInput | UnreadableSignal


@dataclass
class SignalsReceipt:
    """The result of adding a batch. ``rejected`` lists index, id, field, code and reason of each rejected signal.

    ``ahead`` counts the new signals that were dated later than now and are stored as of now.
    """

    added: int = 0
    unchanged: int = 0
    clamped: int = 0
    ahead: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)


def batch_check(count: int) -> None:
    """Raise InputError for a batch that is empty or too large."""
    if not 0 < count <= LARGEST_BATCH:
        raise InputError(f"a batch has 1 to {LARGEST_BATCH} signals, not {count}", field="signals")


@transaction.atomic
def signals_add(*, loop_version: LoopVersion, person_id: int, signals: Sequence[GivenSignal]) -> SignalsReceipt:
    """Store a batch of one person's signals. Valid signals are stored together; each other is rejected alone, with a reason.

    Raises Forbidden without consent to personalization, and InputError for a batch that is empty, too large, or without any
    valid signal.
    """
    batch_check(len(signals))
    cipher = cipher_after_erasure(person_id)
    personalization_check(person_id, "their signals cannot be stored")
    receipt = SignalsReceipt()
    fresh = _new_signals(loop_version, person_id, signals, receipt)
    if len(receipt.rejected) == len(signals):
        raise NoValidSignal(receipt.rejected)
    if fresh:
        Signal.objects.bulk_create(_sealed(signal, values, cipher) for signal, values in fresh)
        _update_serving_state(loop_version, person_id, fresh, cipher)
    return receipt


def _sealed(signal: Signal, values: Floats, cipher: Cipher) -> Signal:
    signal.payload = cipher.seal(values.astype("<f8").tobytes(), about_signal(signal.person_id, signal.signal_key))
    return signal


def _new_signals(
    loop_version: LoopVersion, person_id: int, signals: Sequence[GivenSignal], receipt: SignalsReceipt
) -> list[tuple[Signal, Floats]]:
    """Return the new valid signals in order of time with their values, not sealed yet. The receipt counts or rejects all others.

    The caller has locked the person's budget row, so no other batch of this person can be stored meanwhile.
    """
    readable = [item for item in signals if isinstance(item, SignalInput)]
    known, now = _contents(person_id, [_key(item) for item in readable]), clock.now()
    erased = Person.objects.values_list("last_erased_at", flat=True).get(pk=person_id)
    fresh: list[tuple[datetime, Signal, Floats]] = []
    for index, item in enumerate(signals):
        try:
            if isinstance(item, UnreadableSignal):
                raise InputError(item.reason, field=item.field)
            payload, clamped = _payload(loop_version.spec, item)
            if erased is not None and item.at <= erased:
                raise BeforeErasure(
                    "at lies before the person's erasure; what was erased is not stored again", field="at"
                )
            signal = _signal(loop_version, person_id, item, now)
            before, content = known.get(_key(item)), bytes(signal.content_key)
            if before not in (None, content):
                raise KeyReused("this id was used with other content; use a new id for a new signal", field="id")
        except InputError as error:
            receipt.rejected.append(_rejected(index, item, error))
            continue
        if before is None:
            known[_key(item)] = content
            fresh.append((item.at, signal, payload))
            receipt.added += 1
            receipt.clamped += clamped
            receipt.ahead += signal.observed_at < item.at
        else:
            receipt.unchanged += 1
    fresh.sort(key=itemgetter(0))  # by the device's own clock, which orders them also where it is fast
    return [(signal, payload) for _, signal, payload in fresh]


def _rejected(index: int, item: GivenSignal, error: InputError) -> dict[str, Any]:
    codes = {KeyReused: "key-reused", ClockAhead: "clock-ahead", BeforeErasure: "before-erasure"}
    return {
        "index": index,
        "id": item.signal_id[:LONGEST_SIGNAL_ID],
        "field": next(iter(error.members.get("errors", ())), ""),
        "code": codes.get(type(error), "invalid-input"),
        "reason": str(error),
    }


def _contents(person_id: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the content key, by signal key, of signals that are already stored."""
    rows = Signal.objects.filter(person_id=person_id, signal_key__in=keys).values_list("signal_key", "content_key")
    return {bytes(key): bytes(content) for key, content in rows}


def _key(item: SignalInput) -> bytes:
    return keyed(SIGNAL_ID, item.signal_id)


def _payload(spec: LoopSpec, item: SignalInput) -> tuple[Floats, int]:
    """Return a signal's values by feature, and how many were clamped. Raises InputError that names the field."""
    if not 0 < len(item.signal_id) <= LONGEST_SIGNAL_ID:
        raise InputError(f"id must have 1 to {LONGEST_SIGNAL_ID} characters", field="id")
    if item.kind not in DATA_TYPES:
        raise InputError(f"type {item.kind[:40]!r} is not known; it is one of {', '.join(DATA_TYPES)}", field="type")
    if item.at.tzinfo is None:
        raise InputError("at has no offset from UTC; send it like 2026-01-31T08:00:00+01:00", field="at")
    if item.at > clock.now() + FURTHEST_AHEAD:
        raise ClockAhead("at lies more than a day in the future; check the device's clock", field="at")
    if item.at < _EARLIEST:
        raise InputError(f"at lies before {_EARLIEST:%Y}; check the device's clock", field="at")
    if not item.values:
        raise InputError("values is empty; give at least one feature", field="values")
    payload, clamped = np.full(len(spec.features), np.nan), 0
    for name, value in item.values.items():
        place = f"values.{name[:40]}"
        if name not in spec.feature_names:
            known = ", ".join(spec.feature_names)
            raise InputError(f"{place} is no feature of loop {spec.name!r}; its features are {known}", field=place)
        i = spec.feature_names.index(name)
        payload[i], out = feature_value(spec, i, value, place=place)
        clamped += out
    return payload, clamped


def _signal(loop_version: LoopVersion, person_id: int, item: SignalInput, now: datetime) -> Signal:
    """Return a signal's row without its payload. Equal instants in different time zones count as the same content.

    A signal cannot have been observed later than now: a fast clock dated it, and it counts as observed now.
    """
    content = {"kind": item.kind, "at": item.at.astimezone(UTC).isoformat(), "values": item.values}
    return Signal(
        person_id=person_id,
        loop_version=loop_version,
        signal_key=_key(item),
        content_key=keyed(SIGNAL_CONTENT, equal_numbers_json(content)),
        kind=item.kind,
        observed_at=min(item.at, now),
    )


def _update_serving_state(
    loop_version: LoopVersion, person_id: int, fresh: Sequence[tuple[Signal, Floats]], cipher: Cipher
) -> None:
    """Merge new values into the person's serving state. An update succeeds only on the version that was read.

    Raises Conflict when other updates keep winning.
    """
    spec, about = loop_version.spec, about_serving_state(person_id, loop_version.loop_id)
    unknown = np.full(len(spec.features), np.nan)
    for _ in range(_TRIES):
        state, _new = ServingState.objects.get_or_create(person_id=person_id, loop_id=loop_version.loop_id)
        newest, at_decision = (
            unpack_serving_state(spec, cipher.open(bytes(state.memory), about)) if state.memory else (None, None)
        )
        known = KnownValues(unknown) if newest is None else KnownValues(np.array(newest), state.observed_at)
        for signal, values in sorted(fresh, key=lambda item: item[0].observed_at):
            known = merge_known_values(known, values, signal.observed_at, keeps=spec.availability.memory_seconds)
        updated = ServingState.objects.filter(pk=state.pk, version=state.version).update(
            memory=cipher.seal(pack_serving_state(spec, known.values.tolist(), at_decision), about),
            observed_at=known.at,
            version=F("version") + 1,
        )
        if updated:
            return
    raise Conflict("the person's state kept changing meanwhile; send the batch again")
