"""A trial's candidate must keep the people and their rewards: losses have a price, and too large a loss is no pass."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from privacy.engine.evaluation.arm_differences import release_difference
from tests.factories.trial_people import SIGMA, TrialPeople, passes, verdict_of, verdicts
from training.engine.gates.judgements import Judgement
from training.engine.gates.trial import trial_harms
from training.engine.gates.trial_losses import MOST_LOST, judge_retention, price_of_leaving

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
    stored = release_difference("retention", arm, left, centre=reference, sigma=sigma, rho_share=SHARE)
    return judge_retention(stored, look)


def test_the_difference_is_shown_as_what_the_candidate_keeps() -> None:
    judged = _judged(10_000, 0.05, 0.15, sigma=None)
    assert judged.value == pytest.approx(-0.10, abs=1e-3) and judged.low < -0.10 < judged.high


@pytest.mark.parametrize(
    ("candidate", "verdict"), [(0.05, "pass"), (0.03, "pass"), (0.17, "pass"), (0.23, "fail"), (0.50, "fail")]
)
def test_with_many_people_a_loss_below_the_bar_is_told_from_one_beyond_it(candidate: float, verdict: str) -> None:
    assert _judged(20_000, 0.05, candidate).verdict == verdict


def test_with_few_people_equal_arms_are_not_proven_equal() -> None:
    few = [_judged(150, 0.05, 0.05, seed=s).verdict for s in range(20)]
    assert few.count("insufficient") >= 15


def test_nobody_in_the_trial_is_no_evidence() -> None:
    stored = release_difference(
        "retention", np.zeros(0, bool), np.zeros(0, bool), centre=0.0, sigma=SIGMA, rho_share=SHARE
    )
    judged = judge_retention(stored, 1)
    assert judged.verdict == "insufficient" and math.isnan(judged.value)


def test_false_alarms_are_as_rare_as_stated_and_rarer_in_later_looks() -> None:
    """A loss at the bar is proven beyond it in at most 5% of first looks, and passes in at most 2.5% of second ones."""
    alarms = [_judged(1_000, 0.05, 0.05 + MOST_LOST, seed=s).verdict == "fail" for s in range(300)]
    assert sum(alarms) <= 22  # of 15 expected
    at_the_bar = [_judged(1_000, 0.05, 0.05 + MOST_LOST, seed=s, look=2).verdict == "pass" for s in range(300)]
    assert sum(at_the_bar) <= 15


def test_a_candidate_that_pleases_those_who_stay_and_loses_a_third_of_the_others_is_harm() -> None:
    assert passes(TrialPeople(gain=0.4, leave=(0.05, 0.05)), users=1_000, lives=40) >= 35  # 97%, less three sd
    lost = verdicts(TrialPeople(gain=0.4, leave=(0.05, 0.35)), users=1_000, lives=12)
    assert sum(v.verdict == "pass" for v in lost) == 0 and sum(trial_harms(v) for v in lost) >= 10


def _priced(candidate: float, centre: float) -> float:
    arm = np.arange(10_000) % 2 == 0
    left = np.where(arm, np.arange(10_000) < candidate * 10_000, np.arange(10_000) < 0.05 * 10_000)
    return price_of_leaving(
        release_difference("retention", arm, left, centre=0.05, sigma=None, rho_share=SHARE)
        | {"centre": np.array([centre])}
    )


def test_people_lost_cost_the_usual_reward_as_far_as_the_loss_is_proven() -> None:
    error = math.sqrt(4 * 0.10 * 0.90 / 10_000)  # at a tenth of all who left
    assert _priced(0.15, 2.0) == pytest.approx(2.0 * 1.5 * (0.10 - error / 2), abs=0.003)
    assert _priced(0.05, 2.0) == _priced(0.0, 2.0) == 0
    assert _priced(0.15, -1.0) == 0, "nobody's leaving is a gain"


def test_a_gain_that_pays_for_the_people_lost_passes_and_a_smaller_one_does_not() -> None:
    """Of two scales that everybody has, a tenth is lost with the people."""
    for gain, most, least in ((0.15, 1, 0), (0.8, 12, 10)):
        people = TrialPeople(gain=gain, leave=(0.02, 0.10))
        found = [
            verdict_of(people.rows(np.random.default_rng([5, i]), 8_000), centre=2.0).verdict == "pass"
            for i in range(12)
        ]
        assert least <= sum(found) <= most


def test_people_who_stay_away_for_days_are_lost_for_those_days() -> None:
    """The candidate pays a quarter of a scale. Its people miss an eighth more of the days, of two scales each."""
    away = TrialPeople(gain=0.25, miss=(0.05, 0.175))
    judged = next(
        j
        for j in verdict_of(away.rows(np.random.default_rng(2), 8_000), centre=2.0).judgements
        if j.name == "retention"
    )
    assert judged.value == pytest.approx(-0.125, abs=0.02)
    assert _passes(away, centre=2.0) <= 8  # 7%, and three sd more
    assert _passes(TrialPeople(gain=0.25, miss=(0.05, 0.05)), centre=2.0) >= 34  # 96%, less three sd


def test_where_people_come_on_two_days_in_five_a_good_candidate_still_passes() -> None:
    seldom = TrialPeople(gain=0.4, miss=(0.6, 0.6))
    assert _passes(seldom, centre=1.0) >= 35  # 97%, less three sd


def _passes(people: TrialPeople, *, centre: float) -> int:
    """In how many of 40 lives of 1,000 people the candidate passes."""
    lives = (people.rows(np.random.default_rng([7, i]), 1_000) for i in range(40))
    return sum(verdict_of(rows, centre=centre).verdict == "pass" for rows in lives)


def test_where_people_come_seldom_anyway_a_good_candidate_still_passes() -> None:
    assert passes(TrialPeople(gain=0.4, leave=(0.5, 0.5)), users=1_000, lives=40) >= 34  # 96%, less three sd


def test_the_sentence_says_who_is_lost() -> None:
    rows = TrialPeople(gain=0.4, leave=(0.0, 0.4)).rows(np.random.default_rng(3), 4_000)
    judged = next(j for j in verdict_of(rows).judgements if j.name == "retention")
    assert judged.verdict == "fail" and judged.reason.endswith("which is a proven loss of more than 15%.")


def test_arms_that_cannot_be_compared_prove_no_loss() -> None:
    stored = release_difference(
        "retention", np.full(2_000, True), np.full(2_000, True), centre=0.0, sigma=None, rho_share=SHARE
    )
    assert judge_retention(stored, 1).verdict == "fail"
    assert judge_retention(stored, 1, comparable=False).verdict == "insufficient"
    alone = TrialPeople(gain=0.4, share=1.0, leave=(0.0, 0.9)).rows(np.random.default_rng(1), 1_000)
    judged = next(j for j in verdict_of(alone).judgements if j.name == "retention")
    assert judged.verdict == "insufficient"


def test_rewards_that_are_missing_more_often_have_a_price() -> None:
    """The hurt give no reward, so that those who do show a gain of .25 scales. Labels came in both arms.

    1% pass so, and otherwise 95%, here three sd more and less.
    """
    assert passes(TrialPeople(gain=0.25), users=1_000, lives=40) >= 34
    assert passes(TrialPeople(gain=0.25, missing=(0.0, 0.35)), users=1_000, lives=40) <= 3
    assert passes(TrialPeople(gain=0.25, missing=(0.35, 0.35)), users=1_000, lives=40) >= 33, "both arms alike"
    assert passes(TrialPeople(gain=0.25, missing=(0.35, 0.0)), users=1_000, lives=40) >= 33, "more rewards cost nothing"


@pytest.mark.parametrize(("missing", "said"), [(0.0, False), (0.02, False), (0.4, True)])
def test_a_verdict_says_how_many_decisions_it_says_nothing_about(missing: float, said: bool) -> None:
    """Noise has no seed: with 1,000 people 4 of 150 lives said it at .02, and 134 at .25. With 2,000 none did, and 150 at .4."""
    found = verdicts(TrialPeople(gain=0.3, missing=(missing, missing)), users=2_000, lives=3)
    reasons = [j.reason for v in found for j in v.judgements if j.name == "improvement"]
    assert ["without a reward" in reason for reason in reasons] == [said] * 3


def test_people_who_leave_before_any_outcome_are_missed() -> None:
    """A third of the candidate's people have decisions, none of them with an outcome, and left."""
    rng = np.random.default_rng(4)
    rows = TrialPeople(gain=0.4, share=0.6).rows(rng, 2_000)  # so that as many of either arm are heard
    gone = rows.candidate & (rng.random(2_000) < 1 / 3)
    unheard = replace(
        rows, missed=np.maximum(rows.missed, gone),
        **{name: getattr(rows, name)[~gone[rows.person]] for name in ("person", "reward", "intervened", "empathy", "harmful")},
    )  # fmt: skip
    judged = next(j for j in verdict_of(unheard).judgements if j.name == "retention")
    assert judged.value == pytest.approx(-0.32, abs=0.1) and judged.verdict == "fail"
