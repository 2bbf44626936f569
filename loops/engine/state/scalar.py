"""Compute known dynamics for one person at a time without arrays, for serving. The values equal those of ``StateHistory``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time

from loops.engine.spec import LoopSpec
from loops.engine.state.clock import Reader, clock_reader
from loops.engine.state.dynamics import SCALARS, KnownStep, begins_daily, start_of, step_of


@dataclass(frozen=True)
class KnownFeature:
    """Describe a feature with known dynamics.

    ``column`` is its index, ``start`` its value at a person's first point, and ``step`` its update rule. ``daily`` marks a
    feature that returns to ``start`` each day. ``read`` computes it from the time of day instead, where the loop declares that.
    """

    column: int
    start: float
    daily: bool
    step: KnownStep
    read: Reader | None


class ScalarDynamics:
    """Hold the known dynamics of one loop version.

    ``count`` is the number of features. ``index`` maps each name to its column. ``ranges`` maps each numeric feature to its
    column and bounds. ``categories`` maps each category feature to its column and the numbers of its categories by name.
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
        """Fill the known features that are NaN in ``state``, in place.

        Args: state: F numbers. before: the F numbers of the previous point, or None without one. intervened: whether the
        previous point intervened. same_day: whether it was on the same local calendar day. at: the local time now.
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
