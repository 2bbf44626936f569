"""Compare what gates promised with what people then lived: did the intervals hold, and do gates promise too much?

An interval *held* if the lived value lies in it. The lived value has an error of its own, which counts against the gate here. A
miss whose two intervals overlap may be that error alone. One whose intervals do not overlap *contradicts* the gate.

Versions are deployed because they looked good. Lived values therefore fall a little short of estimates even where every interval
is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from training.engine.intervals.binomial import clopper_pearson

LEAST_INTERVALS = 5  # compared intervals below which a share says nothing
LOW_IS_GOOD = frozenset({"false_intervention", "silence"})
ComparisonState = Literal["held", "missed", "contradicted", "too early", "not lived"]
Tendency = Literal["too few to tell", "optimistic", "pessimistic", "neither is shown"]


@dataclass(frozen=True)
class IntervalEstimate:
    """Hold a value with its interval, in the metric's unit. A bound is infinite where nothing is known."""

    value: float
    low: float
    high: float

    @property
    def bounded(self) -> bool:
        """Tell whether the interval excludes anything on both sides."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class GateComparison:
    """Hold one metric as a gate estimated it and as people then lived it, in the same unit.

    ``gate``: bounded, with a width above 0. ``lived``: None if the version never served enough people.
    """

    metric: str
    gate: IntervalEstimate
    lived: IntervalEstimate | None

    @property
    def overlaps(self) -> bool | None:
        """Tell whether one value can lie in both intervals. None without anything to compare."""
        known = self._known
        return None if known is None else known.low <= self.gate.high and self.gate.low <= known.high

    @property
    def held(self) -> bool | None:
        """Tell whether the lived value lies in the gate's interval. None without anything to compare."""
        known = self._known
        return None if known is None else self.gate.low <= known.value <= self.gate.high

    @property
    def shortfall(self) -> float | None:
        """Return by how much lived is worse than the gate's estimate, in half-widths of its interval. Negative: better."""
        known = self._known
        if known is None:
            return None
        worse = self.gate.value - known.value
        return (-worse if self.metric in LOW_IS_GOOD else worse) / ((self.gate.high - self.gate.low) / 2)

    @property
    def state(self) -> ComparisonState:
        """Return the result in words. What was not lived, or by too few people, says nothing good."""
        if self.lived is None:
            return "not lived"
        if self.held is None:
            return "too early"
        return "held" if self.held else "missed" if self.overlaps else "contradicted"

    @property
    def _known(self) -> IntervalEstimate | None:
        return self.lived if self.lived is not None and self.lived.bounded else None


@dataclass(frozen=True)
class CalibrationSummary:
    """Count how often gates were right.

    ``intervals``: how many were compared with what was lived. ``held``, ``contradicted``: of these. ``worse``: how many lived
    values were worse than estimated. ``mean_shortfall``: in half-widths. The ranges are exact at 95%, and None for too few.
    """

    intervals: int
    held: int
    contradicted: int
    worse: int
    held_range: tuple[float, float] | None
    worse_range: tuple[float, float] | None
    mean_shortfall: float | None

    @property
    def tendency(self) -> Tendency:
        """Tell whether gates promise too much or too little: lived values are worse clearly more or less often than better."""
        if self.worse_range is None:
            return "too few to tell"
        low, high = self.worse_range
        return "optimistic" if low > 0.5 else "pessimistic" if high < 0.5 else "neither is shown"

    @property
    def sentence(self) -> str:
        """Return the result in one sentence."""
        if not self.intervals:
            return "No interval can be compared yet: too little was lived under versions that a gate judged"
        noun = "interval" if self.intervals == 1 else "intervals"
        span = "too few to tell" if self.held_range is None else "{:.0%} to {:.0%}".format(*self.held_range)
        return f"{self.held} of {self.intervals} {noun} held ({span})"


def summarise_calibration(comparisons: Sequence[GateComparison]) -> CalibrationSummary:
    """Summarise what can be compared. Metrics that were not lived, or by too few people, are left out.

    The ranges are exact for independent comparisons, such as one metric over versions. Metrics of one version share people.
    """
    compared = [c for c in comparisons if c.held is not None]
    shortfalls = [s for c in compared if (s := c.shortfall) is not None]
    held, worse = sum(c.held is True for c in compared), sum(s > 0 for s in shortfalls)
    return CalibrationSummary(
        intervals=len(compared),
        held=held,
        contradicted=sum(c.overlaps is False for c in compared),
        worse=worse,
        held_range=_range(held, len(compared)),
        worse_range=_range(worse, len(shortfalls)),
        mean_shortfall=math.fsum(shortfalls) / len(shortfalls) if shortfalls else None,
    )


def _range(hits: int, trials: int) -> tuple[float, float] | None:
    return clopper_pearson(hits, trials) if trials >= LEAST_INTERVALS else None
