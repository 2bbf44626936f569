"""Put the check of a file's propensities as it may be shown: in words, rounded, and without numbers for a few people.

Reports, jobs and records of imports outlive an erasure. The exact mean of a file of few people would be their exact actions.
"""

from __future__ import annotations

from typing import Any

from loops.engine.rows.assignment_check import AssignmentMean
from loops.engine.rows.region_check import RegionMean
from loops.engine.rows.spread_check import SPREAD_FAR, PeopleSpread
from privacy.engine.dp.coarse_counts import two_digits

FEWEST_PEOPLE = 10  # of whom a number is shown


def mean_shown(m: AssignmentMean) -> dict[str, Any]:
    """Return the finding about one action, and its people, mean and interval in two digits where enough people are in it."""
    hidden = m.people < FEWEST_PEOPLE and m.finding == "never logged"
    finding = "too few people" if hidden else m.finding
    shown: dict[str, Any] = {"head": m.head, "action": m.action, "among": m.among, "finding": finding}
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


def region_shown(m: RegionMean) -> dict[str, Any]:
    """Return the finding about one action in a region of states. There are at least ten people in each."""
    shown = {"head": m.head, "action": m.action, "among": m.among, "region": m.region, "finding": m.finding}
    return shown | {name: rounded(getattr(m, name)) for name in ("mean", "low", "high")} if m.is_refuted else shown


def region_words(m: RegionMean) -> str:
    """Return the finding about one action in a region of states in words, rounded to two digits."""
    which = "explored rows" if m.among == "explored" else "rows"
    there = f"while {m.region} (about {two_digits(m.rows):,} {which})"
    if m.finding == "impossible":
        return f"{m.head}: {m.action} was impossible while {m.region}, so this file holds no evidence about it there"
    if m.finding == "never logged":
        return (
            f"{m.head}: {m.action} was never logged {there}, where its propensities expect {rounded(m.expected):,.0f}"
        )
    mean, low, high = (f"{rounded(x):,}" for x in (m.mean, m.low, m.high))
    return f"{m.head}: the mean of 1/propensity where {m.action} was taken is {mean} [{low}, {high}] {there}"


def spread_shown(s: PeopleSpread) -> dict[str, Any]:
    """Return the finding about how much the propensities of one action differ between people."""
    shown: dict[str, Any] = {"head": s.head, "action": s.action, "among": s.among, "finding": "differs between people"}
    return shown | {"spread": rounded(s.spread)} if s.people >= FEWEST_PEOPLE else shown


def spread_words(s: PeopleSpread) -> str:
    """Return in words how much the propensities of one action differ between people."""
    which = " over explored rows" if s.among == "explored" else ""
    if s.people < FEWEST_PEOPLE:
        return f"{s.head}: the propensities of {s.action} do not hold for each person{which}"
    return (
        f"{s.head}: the true propensity of {s.action} over the logged one differs between people by a standard deviation of "
        f"{rounded(s.spread):g}{which} (right ones give 0, at most {SPREAD_FAR:g})"
    )


def has_numbers(m: AssignmentMean) -> bool:
    """Return whether a mean has an interval, and enough people to be shown."""
    return m.low is not None and m.people >= FEWEST_PEOPLE


def rounded(value: float) -> float:
    """Return a number in two significant digits."""
    return float(f"{value:.2g}")
