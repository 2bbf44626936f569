"""What is remembered of a person: the newest known value of each feature, and how they were at their last decision."""

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
    """F values, NaN where nothing is known, and the moment of the newest; None: nothing was heard yet."""

    values: Floats
    at: datetime | None = None


class PersonServingState(NamedTuple):
    """What one SELECT reads of a person in one loop. ``state_version`` 0: nothing was served or heard in this loop yet.

    ``memory`` and the person's data key are sealed, as stored; ``wrapped`` empty: they have no key yet. ``original``: the
    decision that answered this request before.
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
    """The person's cipher, with what it opened: F numbers that were heard lately (NaN: never), and the F numbers of the state
    at the last decision. None for what there is not.
    """

    cipher: Cipher
    heard: Sequence[float] | None
    before: Sequence[float] | None


def merge_known_values(memory: KnownValues, values: Floats, at: datetime, *, keeps: float) -> KnownValues:
    """The memory after ``values`` (F, NaN where silent) were heard at ``at``; anything ``keeps`` seconds older is forgotten.

    A newer word goes over an older one. An older word only fills what is not known.
    """
    if memory.at is None or (at - memory.at).total_seconds() > keeps:
        return KnownValues(values, at)
    if at >= memory.at:
        return KnownValues(np.where(np.isnan(values), memory.values, values), at)
    if (memory.at - at).total_seconds() > keeps:
        return memory
    return KnownValues(np.where(np.isnan(memory.values), values, memory.values), memory.at)


def pack_serving_state(spec: LoopSpec, heard: Sequence[float], known: Sequence[float] | None) -> bytes:
    """As it is stored: of which features it speaks, F numbers that were heard (NaN: never), then the F of the state at the last
    decision where there was one.
    """
    values = [*heard, *(known or ())]
    return spec.features_signature + struct.pack(f"<{len(values)}d", *values)


def unpack_serving_state(spec: LoopSpec, stored: bytes) -> tuple[Sequence[float] | None, Sequence[float] | None]:
    """The two parts of what was stored; None for what there is not, and for both where it speaks of other features."""
    signature, count = spec.features_signature, len(spec.features)
    if not stored.startswith(signature):
        return None, None
    values = struct.unpack_from(f"<{(len(stored) - len(signature)) // 8}d", stored, len(signature))
    return values[:count], values[count:] or None
