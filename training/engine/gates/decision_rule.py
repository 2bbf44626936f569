"""Decide pass, fail or insufficient evidence for one metric, with the reason in plain sentences.

All criteria must pass. This is an intersection-union test, so each criterion is tested at its own level without correction.
Re-use of the same people is corrected: attempt k is tested at .05 * 6 / (pi^2 k^2), whose sum over all attempts is .05.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from training.engine.intervals.clustered import Interval, sufficient, users_needed

VerdictWord = Literal["pass", "fail", "insufficient"]
Direction = Literal["above", "at_least", "at_most"]

FALSE_PASS_ALPHA = 0.05
FUTILITY_SHARE = 0.02  # of the reference: an improvement with an upper bound below this share is not worth more data


@dataclass(frozen=True)
class Verdict:
    """Hold the answer, its reason, and about how many people a decision needs (None: not known)."""

    answer: VerdictWord
    reason: str
    users_needed: float | None = None


def attempt_alpha(k: int, candidates: int = 1) -> float:
    """Return the level of attempt ``k`` = 1, 2, ... on the same people: .05 * 6 / (pi^2 k^2) / candidates.

    Levels sum to .05 over all attempts, since sum 1/k^2 = pi^2 / 6 (a weighted Bonferroni bound).

    Args:
        candidates: number of candidates tested in the attempt.
    Raises: ValueError for a count below 1.
    """
    if k < 1 or candidates < 1:
        raise ValueError(f"Attempt {k} with {candidates} candidates is not possible; both counts start at 1.")
    return FALSE_PASS_ALPHA * 6 / (math.pi**2 * k**2) / candidates


def verdict(
    interval: Interval,
    bar: float,
    direction: Direction,
    *,
    fail_interval: Interval | None = None,
    futility: float | None = None,
    min_effect: float | None = None,
    needed: float | None = None,
    name: str = "the metric",
) -> Verdict:
    """Compare one metric with its bar.

    pass: the bound clears the bar. ``above`` is strict, while ``at_least`` and ``at_most`` allow the bar itself.
    fail: the estimate is on the wrong side and the interval excludes the bar. With ``futility``, an improvement also fails if
    its upper bound does not exceed that value.
    insufficient: everything else, and whenever the effective sample size or the degrees of freedom are too small.

    Args:
        interval: needs a bound towards the bar. A two-sided interval at level 1 - 2 alpha serves pass and fail.
        fail_interval: interval for failing, if a later attempt passes at a smaller alpha. Default: ``interval``.
        futility: +2% of the reference's value (``futility_bound``).
        min_effect: declared smallest effect, from which the people needed are computed.
        needed: number of people to report instead.
        name: the metric's name in the reason.
    """
    against = fail_interval or interval
    needed = _needed(interval, min_effect) if needed is None else needed
    enough = sufficient(interval, needed=needed)
    if not enough.ok:
        return _insufficient(f"There is too little evidence on {name}: {enough.reason}", enough.users_needed)
    if _clears(interval, bar, direction):
        return Verdict("pass", f"{_bound_text(name, interval, direction)}, which clears the bar of {bar:.4g}.")
    if _excludes(against, bar, direction):
        return Verdict(
            "fail", f"{name} is {against.estimate:.4g} and its interval {_range(against)} excludes {bar:.4g}."
        )
    if futility is not None and against.high <= futility:
        reason = f"{name} is at most {against.high:.4g}, below the {futility:.4g} that would be worth deploying."
        return Verdict("fail", reason)
    if needed is not None and needed <= interval.users:  # its spread is not what a formula of the spread alone expects
        needed = None
    return _insufficient(f"{_bound_text(name, interval, direction)}, which does not clear the bar of {bar:.4g}", needed)


def futility_bound(reference: float) -> float:
    """Return +2% of the reference's value. An improvement that cannot reach it fails and does not stay undecided forever."""
    return FUTILITY_SHARE * abs(reference)


def equivalence(
    interval90: Interval, margin: float, *, needed: float | None = None, name: str = "the difference"
) -> Verdict:
    """Test equivalence by two one-sided tests at .05: pass if the 90% interval lies inside +-``margin``.

    The test fails if the interval lies wholly outside. If the interval straddles an edge, the evidence is insufficient.

    Args:
        interval90: two-sided interval at level .90.
        margin: largest tolerated difference, in the interval's units.
        needed: number of people to report.
    Raises: ValueError for another interval, and for a margin that is not above 0.
    Source: Schuirmann (1987), two one-sided tests.
    """
    if not margin > 0:
        raise ValueError(f"The margin is {margin}; it must be above 0.")
    if interval90.tails != "two" or not math.isclose(interval90.level, 1 - 2 * FALSE_PASS_ALPHA):
        raise ValueError("An equivalence test at .05 needs the two-sided 90% interval.")
    enough = sufficient(interval90, needed=needed)
    if not enough.ok:
        return _insufficient(f"There is too little evidence on {name}: {enough.reason}", enough.users_needed)
    text = f"{name} is {interval90.estimate:.4g} with a 90% interval of {_range(interval90)}"
    if -margin < interval90.low and interval90.high < margin:
        return Verdict("pass", f"{text}, which is inside +-{margin:.4g}.")
    if interval90.low >= margin or interval90.high <= -margin:
        return Verdict("fail", f"{text}, which is outside +-{margin:.4g}.")
    if needed is not None and needed <= interval90.users:
        needed = None
    return _insufficient(f"{text}, which is not inside +-{margin:.4g}", needed)


def _clears(interval: Interval, bar: float, direction: Direction) -> bool:
    if direction == "above":
        return interval.low > bar
    return interval.low >= bar if direction == "at_least" else interval.high <= bar


def _excludes(interval: Interval, bar: float, direction: Direction) -> bool:
    """Tell whether estimate and interval both lie on the wrong side of the bar."""
    if direction == "at_most":
        return interval.estimate > bar and interval.low > bar
    return interval.estimate < bar and interval.high < bar


def _needed(interval: Interval, min_effect: float | None) -> float | None:
    """Return the people needed for the declared effect, or None if no effect was declared."""
    if min_effect is None:
        return None
    level = interval.level if interval.tails != "two" else (1 + interval.level) / 2
    return users_needed(interval, min_effect, level=level)


def _insufficient(text: str, needed: float | None) -> Verdict:
    if needed is None or not math.isfinite(needed):
        return Verdict("insufficient", f"{text}.", None)
    return Verdict("insufficient", f"{text}. A decision needs about {needed:,.0f} people.", needed)


def _bound_text(name: str, interval: Interval, direction: Direction) -> str:
    side, bound = ("upper", interval.high) if direction == "at_most" else ("lower", interval.low)
    level = interval.level if interval.tails != "two" else (1 + interval.level) / 2
    return f"{name} is {interval.estimate:.4g} with a {100 * level:.4g}% {side} bound of {bound:.4g}"


def _range(interval: Interval) -> str:
    return f"[{interval.low:.4g}, {interval.high:.4g}]"
