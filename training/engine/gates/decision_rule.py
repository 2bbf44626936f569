"""Pass, fail or insufficient evidence: the three answers of the gate, each with one plain sentence.

Requiring every criterion is an intersection-union test, so each is judged at its own level without correction. What is
corrected is re-use: attempt k on the same evaluation people is tested at .05 * 6 / (pi^2 k^2), whose sum over all
attempts is .05.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from training.engine.intervals.clustered import Interval, sufficient, users_needed

VerdictWord = Literal["pass", "fail", "insufficient"]
Direction = Literal["above", "at_least", "at_most"]

FALSE_PASS_ALPHA = 0.05
FUTILITY_SHARE = 0.02  # an improvement whose upper bound is under +2% of the reference is not worth more data


@dataclass(frozen=True)
class Verdict:
    """The answer, why in one sentence, and about how many people a decision would take (None when not known)."""

    answer: VerdictWord
    reason: str
    users_needed: float | None = None


def attempt_alpha(k: int, candidates: int = 1) -> float:
    """Level of attempt ``k`` = 1, 2, ... on the same people: .05 * 6 / (pi^2 k^2) / candidates that reach it.

    Sums to .05 over all attempts, since sum 1/k^2 = pi^2 / 6 (a weighted Bonferroni bound).
    """
    if k < 1 or candidates < 1:
        raise ValueError("Attempts and candidates are counted from 1.")
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
    """Judge one metric against its bar.

    pass: the bound clears the bar (``above`` strictly, ``at_least`` or ``at_most`` with the bar itself allowed).
    fail: the estimate is on the wrong side and the interval excludes the bar; or, with ``futility`` (the value of
    +2% of the reference, see ``futility_bound``), the upper bound of the improvement does not reach it.
    insufficient: everything else, and whenever the effective sample size or the degrees of freedom are too small.

    ``interval`` needs its bound towards the bar, so ``tails="two"`` at level 1 - 2 alpha serves both answers;
    ``fail_interval`` gives failing a level of its own when a later attempt passes at a smaller alpha.
    ``needed`` is the number of people to report; otherwise it is ``users_needed`` for the declared ``min_effect``.
    """
    against = fail_interval or interval
    needed = _needed(interval, min_effect) if needed is None else needed
    enough = sufficient(interval, needed=needed)
    if not enough.ok:
        return _insufficient(f"{name}: {enough.reason}", enough.users_needed)
    if _clears(interval, bar, direction):
        return Verdict("pass", f"{_says(name, interval, direction)}, which clears the bar of {bar:.4g}.")
    if _excludes(against, bar, direction):
        return Verdict(
            "fail", f"{name} is {against.estimate:.4g} and its interval {_range(against)} excludes {bar:.4g}."
        )
    if futility is not None and against.high <= futility:
        reason = f"{name} is at most {against.high:.4g}, under the {futility:.4g} that would be worth deploying."
        return Verdict("fail", reason)
    return _insufficient(f"{_says(name, interval, direction)}, and the bar is {bar:.4g}", needed)


def futility_bound(reference: float) -> float:
    """+2% of the reference's value: an improvement that cannot reach it fails instead of staying undecided for ever."""
    return FUTILITY_SHARE * abs(reference)


def equivalence(
    interval90: Interval, margin: float, *, needed: float | None = None, name: str = "the difference"
) -> Verdict:
    """Two one-sided tests at .05 (Schuirmann 1987): equivalent when the 90% interval lies inside +-``margin``.

    Fails when the interval lies wholly outside, is insufficient evidence when it straddles an edge.
    """
    if not margin > 0:
        raise ValueError("The margin must be above 0.")
    if interval90.tails != "two" or not math.isclose(interval90.level, 1 - 2 * FALSE_PASS_ALPHA):
        raise ValueError("Equivalence at .05 is read off the two-sided 90% interval.")
    enough = sufficient(interval90, needed=needed)
    if not enough.ok:
        return _insufficient(f"{name}: {enough.reason}", enough.users_needed)
    text = f"{name} is {interval90.estimate:.4g} with the 90% interval {_range(interval90)}"
    if -margin < interval90.low and interval90.high < margin:
        return Verdict("pass", f"{text}, inside +-{margin:.4g}.")
    if interval90.low >= margin or interval90.high <= -margin:
        return Verdict("fail", f"{text}, outside +-{margin:.4g}.")
    return _insufficient(f"{text}, which is not inside +-{margin:.4g}", needed)


def _clears(interval: Interval, bar: float, direction: Direction) -> bool:
    if direction == "above":
        return interval.low > bar
    return interval.low >= bar if direction == "at_least" else interval.high <= bar


def _excludes(interval: Interval, bar: float, direction: Direction) -> bool:
    """On the wrong side of the bar, interval and estimate both."""
    if direction == "at_most":
        return interval.estimate > bar and interval.low > bar
    return interval.estimate < bar and interval.high < bar


def _needed(interval: Interval, min_effect: float | None) -> float | None:
    """People needed for the declared effect; None when none was declared (``sufficient`` then says its own)."""
    if min_effect is None:
        return None
    level = interval.level if interval.tails != "two" else (1 + interval.level) / 2
    return users_needed(interval, min_effect, level=level)


def _insufficient(text: str, needed: float | None) -> Verdict:
    if needed is None or not math.isfinite(needed):
        return Verdict("insufficient", f"{text}; that does not decide.", None)
    return Verdict("insufficient", f"{text}; it would take about {needed:,.0f} people to tell.", needed)


def _says(name: str, interval: Interval, direction: Direction) -> str:
    side, bound = ("upper", interval.high) if direction == "at_most" else ("lower", interval.low)
    level = interval.level if interval.tails != "two" else (1 + interval.level) / 2
    return f"{name} is {interval.estimate:.4g} with a {100 * level:.4g}% {side} bound of {bound:.4g}"


def _range(interval: Interval) -> str:
    return f"[{interval.low:.4g}, {interval.high:.4g}]"
