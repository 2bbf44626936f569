"""Put the check of a file's propensities as it may be shown: in words, rounded, and without numbers for a few people.

Reports, jobs and records of imports outlive an erasure. The exact mean of a file of few people would be their exact actions.
"""

from __future__ import annotations

from typing import Any

from loops.engine.rows.assignment_check import AssignmentMean
from privacy.engine.dp.coarse_counts import two_digits

FEWEST_PEOPLE = 10  # of whom a number is shown


def mean_shown(m: AssignmentMean) -> dict[str, Any]:
    """Return the finding about one action, and its people, mean and interval in two digits where enough people are in it."""
    shown: dict[str, Any] = {"head": m.head, "action": m.action, "among": m.among, "finding": m.finding}
    if m.people >= FEWEST_PEOPLE:
        shown["people"] = two_digits(m.people)
    if has_numbers(m):
        shown |= {name: rounded(getattr(m, name)) for name in ("mean", "low", "high")}
    return shown


def mean_words(m: AssignmentMean) -> str:
    """Return one mean with its interval in words, rounded to two digits, or the finding alone for a few people."""
    which = {"logged": "", "explored": " over explored rows", "certain": " over rows that were not randomised"}[m.among]
    if not has_numbers(m):
        agree = "do not fit its actions" if m.finding == "refuted" else "fit its actions"
        return f"{m.head}: the propensities of {m.action} {agree}{which}"
    mean, low, high = (f"{rounded(x):,}" for x in (m.mean, m.low or 0.0, m.high or 0.0))
    return f"{m.head}: the mean of 1/propensity where {m.action} was taken is {mean} [{low}, {high}]{which}"


def has_numbers(m: AssignmentMean) -> bool:
    """Return whether a mean has an interval, and enough people to be shown."""
    return m.low is not None and m.people >= FEWEST_PEOPLE


def rounded(value: float) -> float:
    """Return a number in two significant digits."""
    return float(f"{value:.2g}")
