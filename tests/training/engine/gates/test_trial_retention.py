"""A trial's candidate must keep the people: a proven loss fails, and a pass needs proof that the loss is small."""

from __future__ import annotations

import math

import numpy as np
import pytest

from privacy.engine.evaluation.retention import release_retention
from tests.factories.trial_people import SIGMA, TrialPeople, passes, verdict_of, verdicts
from training.engine.gates.judgements import Judgement
from training.engine.gates.trial import trial_harms
from training.engine.gates.trial_retention import MOST_LOST, judge_retention

SHARE = 0.1


def _judged(
    people: int, reference: float, candidate: float, *, sigma: float | None = SIGMA, seed: int = 1, look: int = 1
) -> Judgement:
    """The judgement where these shares of the two arms left."""
    arm = np.arange(people) % 2 == 0
    order = np.random.default_rng(seed).permutation(people // 2)
    left = np.empty(people, bool)
    left[arm] = order[: arm.sum()] < candidate * people / 2
    left[~arm] = order[: (~arm).sum()] < reference * people / 2
    stored = release_retention(arm, left, centre=reference, sigma=sigma, share=SHARE)
    return judge_retention(stored, look)


def test_the_difference_is_shown_as_what_the_candidate_keeps() -> None:
    judged = _judged(10_000, 0.05, 0.15, sigma=None)
    assert judged.value == pytest.approx(-0.10, abs=1e-3) and judged.low < -0.10 < judged.high


@pytest.mark.parametrize(
    ("candidate", "verdict"), [(0.05, "pass"), (0.03, "pass"), (0.06, "pass"), (0.12, "fail"), (0.30, "fail")]
)
def test_with_many_people_a_loss_of_two_in_a_hundred_is_told_from_one_of_seven(candidate: float, verdict: str) -> None:
    assert _judged(20_000, 0.05, candidate).verdict == verdict


def test_with_few_people_equal_arms_are_not_proven_equal() -> None:
    few = [_judged(150, 0.05, 0.05, seed=s).verdict for s in range(20)]
    assert few.count("insufficient") >= 15


def test_nobody_in_the_trial_is_no_evidence() -> None:
    stored = release_retention(np.zeros(0, bool), np.zeros(0, bool), centre=0.0, sigma=SIGMA, share=SHARE)
    judged = judge_retention(stored, 1)
    assert judged.verdict == "insufficient" and math.isnan(judged.value)


def test_false_alarms_are_as_rare_as_stated_and_rarer_in_later_looks() -> None:
    """Equal arms are proven to lose more than 2% in fewer than 5% of trials; a loss at the bar passes in at most 5%."""
    alarms = [_judged(1_000, 0.2, 0.2, seed=s).verdict == "fail" for s in range(300)]
    assert sum(alarms) <= 15
    at_the_bar = [_judged(1_000, 0.05, 0.05 + MOST_LOST, seed=s, look=2).verdict == "pass" for s in range(300)]
    assert sum(at_the_bar) <= 15


def test_a_candidate_that_pleases_those_who_stay_and_loses_the_others_is_not_promoted() -> None:
    """Rewards a decision are .4 scales higher, and a fifth of the candidate's people leave."""
    assert passes(TrialPeople(gain=0.4, leave=(0.05, 0.05)), users=1_000, lives=12) >= 10
    lost = verdicts(TrialPeople(gain=0.4, leave=(0.05, 0.20)), users=1_000, lives=12)
    assert sum(v.verdict == "pass" for v in lost) == 0 and sum(trial_harms(v) for v in lost) >= 8


def test_where_people_come_seldom_anyway_a_good_candidate_still_passes() -> None:
    assert passes(TrialPeople(gain=0.4, leave=(0.5, 0.5)), users=1_000, lives=12) >= 8


def test_the_sentence_says_who_is_lost() -> None:
    rows = TrialPeople(gain=0.4, leave=(0.0, 0.4)).rows(np.random.default_rng(3), 4_000)
    judged = next(j for j in verdict_of(rows).judgements if j.name == "retention")
    assert judged.verdict == "fail" and judged.reason.endswith("with the candidate, so it loses people.")
