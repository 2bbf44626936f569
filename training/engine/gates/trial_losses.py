"""Judge what a trial's rewards do not show: people who stop coming or stay away for days, and rewards that are missing.

A candidate that pleases those who come, and drives the others away, for good or for a week, has high rewards a decision. So has
one that silences those whom it hurts. Two things hold them back:

- A guardrail: a pass needs proof that the candidate loses at most ``MOST_LOST`` of the days on which people come.
- A price, in reward scales, which counts against the improvement. What the loop's usual reward is above 0 is lost on each
  day that is missed (``price_of_leaving``). A reward that is missing more often than in the other arm is taken to be
  ``UNREPORTED_LOSS`` lower than the others (``price_of_missing_rewards``). Noise alone has hardly a price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from privacy.engine.evaluation.arm_differences import read_difference
from training.engine.gates.decision_rule import FALSE_PASS_ALPHA, VerdictWord
from training.engine.gates.judgements import Judgement
from training.engine.intervals.clustered import MIN_ESS

MOST_LOST = 0.15  # of people's days, which the candidate may lose beside the reference
UNREPORTED_LOSS = 1.0  # reward scales that a missing reward is taken to be lower, where more are missing
UNREPORTED_SHOWN = 0.05  # of the decisions, without a reward, above which a verdict says so
_HORIZON = 1.5  # losses of days at a trial's end, by which more are lost if it went on for as long again, on average
_LEAVING_Z, _MISSING_Z = 0.5, 1.645  # standard errors by which a loss must exceed 0 to have a price
_SQUARE_SD = 0.5  # a variance is raised by this many sd of its noise
_PEOPLE_SD = 2.0


def judge_retention(stored: Mapping[str, np.ndarray], look: int, *, comparable: bool = True) -> Judgement:
    """Judge the difference between the arms' shares of days on which people came in the last quarter of a trial.

    The level is .05 in the first look, and half of the level before in each further look, on either side.

    Args: stored: the output of ``privacy.engine.evaluation.on_policy.release_trial``. comparable: whether the trial's arms can be
        compared.
    """
    value, sd, centre = read_difference(stored, "retention")
    people = value["people"]
    if not comparable or people - _PEOPLE_SD * sd["people"] < MIN_ESS:
        reason = "Whether people keep coming cannot be judged yet."
        return Judgement("retention", math.nan, -1.0, 1.0, -MOST_LOST, None, "insufficient", reason, None)
    z = NormalDist().inv_cdf(1 - FALSE_PASS_ALPHA * 0.5 ** (look - 1))
    change = -value["difference"] / people
    radius = z * _error(value, sd, centre)
    low, high = max(change - radius, -1.0), min(change + radius, 1.0)
    answer: VerdictWord = "fail" if high < -MOST_LOST else "pass" if low >= -MOST_LOST else "insufficient"
    return Judgement(
        "retention", change, low, high, -MOST_LOST, people, answer, _reason(change, low, high, answer), None
    )


def price_of_leaving(stored: Mapping[str, np.ndarray]) -> float:
    """Return what people miss who left or stay away, in reward scales a person of the trial, at least 0.

    It is the usual reward times the share of days lost, as if the trial went on for as long again. Without a positive usual
    reward nothing is lost with a person, so that the guardrail alone protects them.

    Args: stored: the output of ``privacy.engine.evaluation.on_policy.release_trial``.
    """
    return max(float(stored["centre"][0]), 0.0) * _HORIZON * _excess(stored, "retention", _LEAVING_Z)


def price_of_missing_rewards(stored: Mapping[str, np.ndarray]) -> float:
    """Return what the rewards that are missing more often with the candidate may hide, in reward scales, at least 0."""
    return UNREPORTED_LOSS * _excess(stored, "reports", _MISSING_Z)


def name_unreported(improvement: Judgement, stored: Mapping[str, np.ndarray]) -> Judgement:
    """Say in the reason which share of the decisions has no reward, if it is proven to be above ``UNREPORTED_SHOWN``.

    What is missing in both arms alike has no price: if people are hurt in just these decisions, the difference does not show it.
    """
    value, sd, _ = read_difference(stored, "reports")
    people = max(value["people"], 1.0)
    if value["total"] - _PEOPLE_SD * sd["total"] <= UNREPORTED_SHOWN * people:
        return improvement
    share = min(value["total"] / people, 1.0)
    words = f" It says nothing about the decisions without a reward, about {share:.0%} of all in both arms together."
    return replace(improvement, reason=improvement.reason + words)


def _excess(stored: Mapping[str, np.ndarray], name: str, z: float) -> float:
    """Return by how much more than ``z`` standard errors the candidate's mean exceeds the reference's, at least 0."""
    value, sd, centre = read_difference(stored, name)
    return max(value["difference"] / max(value["people"], 1.0) - z * _error(value, sd, centre), 0.0)


def _error(value: Mapping[str, float], sd: Mapping[str, float], centre: float) -> float:
    """Return the standard error of the difference: sampling, raised by the noise on the mean, and noise.

    The variance of a number in [0, 1] is at most that of a share.
    """
    people = max(value["people"], 1.0)
    mean = min(max((value["total"] + _SQUARE_SD * sd["total"]) / people, 0.0), 1.0)
    spread = 4 * (mean * (1 - mean) + (mean - centre) ** 2)
    return math.hypot(math.sqrt(spread / people), sd["difference"] / people)


def _reason(change: float, low: float, high: float, answer: VerdictWord) -> str:
    ends = {
        "pass": f"which excludes a loss of {MOST_LOST:.0%}",
        "insufficient": f"which does not exclude a loss of {MOST_LOST:.0%}",
        "fail": f"which is a proven loss of more than {MOST_LOST:.0%}",
    }
    return (
        f"The share of days on which people came at the end of the trial differs by {change:+.1%} ({low:+.1%} to {high:+.1%}) "
        f"with the candidate, {ends[answer]}."
    )
