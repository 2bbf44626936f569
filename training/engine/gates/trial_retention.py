"""Judge whether people keep coming under a trial's candidate.

A candidate that pleases those who stay, and drives the others away, has high rewards a decision. So it must not lose people: a
loss of more than ``PROVEN_LOSS`` that is proven fails, and a pass needs proof that the loss is below ``MOST_LOST``.
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

MOST_LOST = 0.10  # of the people, whom the candidate may be unable to keep beside the reference
PROVEN_LOSS = 0.02  # of the people: a proven loss of more is harm
_SQUARE_SD = 0.5  # a variance is raised by this many sd of its noise
_PEOPLE_SD = 2.0


def judge_retention(stored: Mapping[str, np.ndarray], look: int) -> Judgement:
    """Judge the difference between the arms' shares of people who still came in the last quarter of a trial.

    The level is .05 in the first look, and half of the level before in each further look, on either side.

    Args: stored: the output of ``privacy.engine.evaluation.retention.release_retention``.
    """
    value, sd = (
        dict(zip(RETENTION_COLUMNS, stored[name].tolist(), strict=True)) for name in ("retention", "retention_sd")
    )
    people = value["people"]
    if people - _PEOPLE_SD * sd["people"] < MIN_ESS:
        reason = "Too few people took part in the trial to judge whether people keep coming."
        return Judgement("retention", math.nan, -1.0, 1.0, -MOST_LOST, None, "insufficient", reason, None)
    z = NormalDist().inv_cdf(1 - FALSE_PASS_ALPHA * 0.5 ** (look - 1))
    change = -value["difference"] / people
    radius = z * _error(value, sd, float(stored["retention_centre"][0]))
    low, high = max(change - radius, -1.0), min(change + radius, 1.0)
    answer: VerdictWord = "fail" if high < -PROVEN_LOSS else "pass" if low >= -MOST_LOST else "insufficient"
    return Judgement(
        "retention", change, low, high, -MOST_LOST, people, answer, _reason(change, low, high, answer), None
    )


def _error(value: Mapping[str, float], sd: Mapping[str, float], centre: float) -> float:
    """Return the standard error of the difference: sampling, raised by the noise on the share that left, and noise."""
    people = value["people"]
    left = min(max((value["left"] + _SQUARE_SD * sd["left"]) / people, 0.0), 1.0)
    spread = 4 * (left * (1 - left) + (left - centre) ** 2)
    return math.hypot(math.sqrt(spread / people), sd["difference"] / people)


def _reason(change: float, low: float, high: float, answer: VerdictWord) -> str:
    ends = {
        "pass": f"which excludes a loss of {MOST_LOST:.0%}",
        "insufficient": f"which does not exclude a loss of {MOST_LOST:.0%}",
        "fail": "so it loses people",
    }
    return (
        f"The share of people who still came at the end of the trial differs by {change:+.1%} ({low:+.1%} to {high:+.1%}) "
        f"with the candidate, {ends[answer]}."
    )
