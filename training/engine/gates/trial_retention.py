"""Judge whether people keep coming under a trial's candidate.

A candidate that pleases those who stay, and drives the others away, has high rewards a decision. Two things hold it back:

- A guardrail: a pass needs proof that it loses at most ``MOST_LOST`` of the people whom the reference keeps.
- A price: people who left have no rewards. What the loop's usual reward is above 0 is lost with each of them, and counts against
  the improvement as far as the loss exceeds its standard error (``price_of_leaving``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np

from privacy.engine.evaluation.retention import RETENTION_COLUMNS
from training.engine.gates.decision_rule import FALSE_PASS_ALPHA, VerdictWord
from training.engine.gates.judgements import Judgement
from training.engine.intervals.clustered import MIN_ESS

MOST_LOST = 0.15  # of the people, whom the candidate may lose beside the reference
_PRICE_Z = 1.645  # standard errors by which a loss must exceed 0 to have a price
_SQUARE_SD = 0.5  # a variance is raised by this many sd of its noise
_PEOPLE_SD = 2.0


def judge_retention(stored: Mapping[str, np.ndarray], look: int, *, comparable: bool = True) -> Judgement:
    """Judge the difference between the arms' shares of people who still came in the last quarter of a trial.

    The level is .05 in the first look, and half of the level before in each further look, on either side.

    Args: stored: the output of ``privacy.engine.evaluation.retention.release_retention``. comparable: whether the trial's arms
        can be compared.
    """
    value, sd = _read(stored)
    people = value["people"]
    if not comparable or people - _PEOPLE_SD * sd["people"] < MIN_ESS:
        reason = "Whether people keep coming cannot be judged yet."
        return Judgement("retention", math.nan, -1.0, 1.0, -MOST_LOST, None, "insufficient", reason, None)
    z = NormalDist().inv_cdf(1 - FALSE_PASS_ALPHA * 0.5 ** (look - 1))
    change = -value["difference"] / people
    radius = z * _error(value, sd, float(stored["retention_centre"][0]))
    low, high = max(change - radius, -1.0), min(change + radius, 1.0)
    answer: VerdictWord = "fail" if high < -MOST_LOST else "pass" if low >= -MOST_LOST else "insufficient"
    return Judgement(
        "retention", change, low, high, -MOST_LOST, people, answer, _reason(change, low, high, answer), None
    )


def price_of_leaving(stored: Mapping[str, np.ndarray]) -> float:
    """Return what people who left no longer have, in reward scales a person of the trial, at least 0.

    It is the mean reward of the trial times the share of people lost, as they are at its end. Without a positive usual reward
    nothing is lost with a person, so that the guardrail alone protects them.

    Args: stored: the output of ``privacy.engine.evaluation.on_policy.release_trial``.
    """
    value, sd = _read(stored)
    people = max(value["people"], 1.0)
    lost = value["difference"] / people - _PRICE_Z * _error(value, sd, float(stored["retention_centre"][0]))
    return max(float(stored["centre"][0]), 0.0) * max(lost, 0.0)


def _read(stored: Mapping[str, np.ndarray]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the noised sums and the noise on each, by column."""
    found = (dict(zip(RETENTION_COLUMNS, stored[n].tolist(), strict=True)) for n in ("retention", "retention_sd"))
    value, sd = found
    return value, sd


def _error(value: Mapping[str, float], sd: Mapping[str, float], centre: float) -> float:
    """Return the standard error of the difference: sampling, raised by the noise on the share that left, and noise."""
    people = max(value["people"], 1.0)
    left = min(max((value["left"] + _SQUARE_SD * sd["left"]) / people, 0.0), 1.0)
    spread = 4 * (left * (1 - left) + (left - centre) ** 2)
    return math.hypot(math.sqrt(spread / people), sd["difference"] / people)


def _reason(change: float, low: float, high: float, answer: VerdictWord) -> str:
    ends = {
        "pass": f"which excludes a loss of {MOST_LOST:.0%}",
        "insufficient": f"which does not exclude a loss of {MOST_LOST:.0%}",
        "fail": f"which is a proven loss of more than {MOST_LOST:.0%}",
    }
    return (
        f"The share of people who still came at the end of the trial differs by {change:+.1%} ({low:+.1%} to {high:+.1%}) "
        f"with the candidate, {ends[answer]}."
    )
