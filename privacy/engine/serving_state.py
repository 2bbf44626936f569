"""A person's serving state: the newest known value of each feature, and the state at their last decision."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec
from privacy.engine.sealing import Cipher


class KnownValues(NamedTuple):
    """Known feature values (F,), NaN where unknown. ``at`` is the time of the newest one; None before any signal."""

    values: Floats
    at: datetime | None = None


class PersonServingState(NamedTuple):
    """A person's stored serving state in one loop, as one SELECT reads it.

    ``state_version`` is 0 before the first signal or decision in this loop. ``memory`` and the data key are sealed, as stored;
    ``wrapped`` is empty while the person has no key. ``original`` is the decision that already answered this request, if any.
    """

    person_id: int
    population: str
    person_key: str
    consent_mask: int
    wrapped: bytes
    master_version: int
    memory: bytes
    observed_at: datetime | None
    local_day: date | None
    interventions_today: int
    last_intervened: bool
    last_intervention_at: datetime | None
    state_version: int
    original: int | None


class OpenedState(NamedTuple):
    """A person's cipher and their opened serving state.

    ``newest`` are the newest feature values (F; NaN: unknown), ``at_decision`` the state at the last decision (F). Each is None
    if there is none.
    """

    cipher: Cipher
    newest: Sequence[float] | None
    at_decision: Sequence[float] | None


def merge_known_values(known: KnownValues, values: Floats, at: datetime, *, keeps: float) -> KnownValues:
    """Merge ``values`` (F, NaN where absent), observed at ``at``, into the known ones.

    Newer values replace older ones. Older values only fill gaps. Values more than ``keeps`` seconds older than the newest are
    dropped.
    """
    if known.at is None or (at - known.at).total_seconds() > keeps:
        return KnownValues(values, at)
    if at >= known.at:
        return KnownValues(np.where(np.isnan(values), known.values, values), at)
    if (known.at - at).total_seconds() > keeps:
        return known
    return KnownValues(np.where(np.isnan(known.values), values, known.values), known.at)


def pack_serving_state(spec: LoopSpec, newest: Sequence[float], at_decision: Sequence[float] | None) -> bytes:
    """Pack a serving state for storage: the features' signature, the newest values (F; NaN: never observed), then the state at
    the last decision (F) if there was one. Numbers are little-endian float64.
    """
    values = [*newest, *(at_decision or ())]
    return spec.features_signature + struct.pack(f"<{len(values)}d", *values)


def unpack_serving_state(spec: LoopSpec, stored: bytes) -> tuple[Sequence[float] | None, Sequence[float] | None]:
    """Unpack a stored serving state: newest values, and the state at the last decision.

    A part that was not stored is None. Both are None when the state was stored for other features.
    """
    signature, count = spec.features_signature, len(spec.features)
    if not stored.startswith(signature):
        return None, None
    values = struct.unpack_from(f"<{(len(stored) - len(signature)) // 8}d", stored, len(signature))
    return values[:count], values[count:] or None
