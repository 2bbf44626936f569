"""Known dynamics for one person at a time, as serving needs them: the numbers of ``StateHistory`` without arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import time

from loops.engine.spec import Feature, LoopSpec
from loops.engine.state.clock import Reader, clock_reader

_ROUNDING = 1e-6  # as in advance_known
ScalarStep = Callable[[float, bool], float]  # value at the last point, whether it intervened -> value at the next


@dataclass(frozen=True)
class KnownFeature:
    """A feature with known dynamics: its column, its value at somebody's first point (``daily``: of each day), its next value; or
    how it is read off the time of day.
    """

    column: int
    start: float
    daily: bool
    step: ScalarStep
    read: Reader | None


class ScalarDynamics:
    """Made once a loop version. ``count`` features; ``index``: the column of each by name; ``ranges``: column and bounds of
    each number.
    """

    def __init__(self, spec: LoopSpec) -> None:
        self.count = len(spec.features)
        self.index = {f.name: i for i, f in enumerate(spec.features)}
        self.ranges = {f.name: (i, *(f.bounds or (0.0, 1.0))) for i, f in enumerate(spec.features) if not f.is_category}
        self._known = [
            KnownFeature(i, _start(f), _is_daily(spec, f), step, clock_reader(f))
            for i, f in enumerate(spec.features)
            if (step := _step(spec, f)) is not None
        ]

    def fill(
        self, state: list[float], before: Sequence[float] | None, *, intervened: bool, same_day: bool, at: time
    ) -> None:
        """Put in the known features that ``state`` (F numbers) leaves open (NaN): what the local time ``at`` says, or what
        follows from the last point, ``before`` (F numbers; None: there was none), at which somebody intervened or not, on this
        or on an earlier calendar day.
        """
        for known in self._known:
            i = known.column
            if state[i] == state[i]:
                continue
            if known.read is not None:
                state[i] = known.read(at)
                continue
            begins = before is None or (known.daily and not same_day)
            state[i] = known.start if before is None or begins else known.step(before[i], intervened)


def _step(spec: LoopSpec, feature: Feature) -> ScalarStep | None:
    """How a known feature moves (``advance_known`` for one number); None for one that does not follow from the last point."""
    low, high = feature.bounds or (0.0, 1.0)
    if feature.dynamics == "since_intervention":
        step = (high - low) / 12 if feature.step is None else feature.step
        return lambda v, intervened: low if intervened else min(high, v + step)
    if feature.dynamics == "recent_load":
        decay = 0.8 if feature.decay is None else feature.decay
        return lambda v, intervened: low + decay * (v - low) + (1 - decay) * (high - low) * intervened
    if feature.dynamics == "clock" and feature.is_category:
        return lambda v, intervened: (v + 1) % len(feature.categories)
    if feature.dynamics == "clock":
        return lambda v, intervened: low + (high - low) * _turned((v - low) / (high - low), spec.decisions_per_day)
    return None


def _turned(phase: float, per_day: int) -> float:
    phase = (phase + 1 / per_day) % 1.0
    return 0.0 if phase > 1.0 - _ROUNDING else phase


def _start(feature: Feature) -> float:
    """Somebody new was never spoken to; a clock is at its beginning."""
    low, high = feature.bounds or (0.0, 1.0)
    if feature.is_category:
        return 0.0
    return high if feature.dynamics == "since_intervention" else low


def _is_daily(spec: LoopSpec, feature: Feature) -> bool:
    """Whether it begins again with each of the person's days: a clock whose period is a day."""
    if feature.dynamics != "clock":
        return False
    return not feature.is_category or len(feature.categories) == spec.decisions_per_day
