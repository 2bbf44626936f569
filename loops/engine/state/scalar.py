"""Known dynamics for one person at a time, as serving needs them: the numbers of ``StateHistory`` without arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time

from loops.engine.spec import LoopSpec
from loops.engine.state.clock import Reader, clock_reader
from loops.engine.state.dynamics import SCALARS, KnownStep, begins_daily, start_of, step_of


@dataclass(frozen=True)
class KnownFeature:
    """A feature with known dynamics: its column, its value at somebody's first point (``daily``: of each day), its next value; or
    how it is read off the time of day.
    """

    column: int
    start: float
    daily: bool
    step: KnownStep
    read: Reader | None


class ScalarDynamics:
    """Made once a loop version. ``count`` features; ``index``: the column of each by name; ``ranges``: column and bounds of
    each number; ``categories``: column of each category, and its values by name.
    """

    def __init__(self, spec: LoopSpec) -> None:
        self.count = len(spec.features)
        self.index = {f.name: i for i, f in enumerate(spec.features)}
        self.ranges = {f.name: (i, *f.range) for i, f in enumerate(spec.features) if not f.is_category}
        self.categories = {
            f.name: (i, {c: float(value) for value, c in enumerate(f.categories)})
            for i, f in enumerate(spec.features)
            if f.is_category
        }
        self._known = [
            KnownFeature(i, start_of(f), begins_daily(spec, f), step, clock_reader(f))
            for i, f in enumerate(spec.features)
            if (step := step_of(spec, f, SCALARS)) is not None
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
