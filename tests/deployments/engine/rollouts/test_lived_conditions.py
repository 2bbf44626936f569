"""What promotes a candidate that no gate has proven: all that both arms lived, and not only rewards that are there."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from deployments.engine.rollouts.lived_conditions import (
    CandidateFigures,
    LivedFinding,
    even_arms,
    lived_conditions,
    lived_findings,
    lived_json,
    lived_of,
)
from tests.factories.trial_people import DECISIONS, RATE, SPEC, TrialPeople

FIGURES = CandidateFigures(intervention_rate=RATE, decisions=DECISIONS, rival_value=0.0)


def states(people: TrialPeople, *, users: int = 1_000) -> dict[str, str]:
    rows = people.rows(np.random.default_rng(1), users)
    found = lived_findings(SPEC, rows, FIGURES, exploration=0.1, look=1)
    return {c.name: c.state for c in lived_conditions(found, SPEC.reward.scale)}


def test_a_better_candidate_whose_people_stay_meets_every_condition() -> None:
    assert set(states(TrialPeople(gain=0.1)).values()) == {"holds"}


def test_a_gain_need_not_be_proven_as_long_as_a_loss_is_excluded() -> None:
    finding = LivedFinding("improvement", 0.01, -0.02, 0.04, 0.0, "insufficient")
    assert lived_conditions([finding], 1.0)[0].state == "holds"
    assert lived_conditions([replace(finding, low=-0.06)], 1.0)[0].state == "open"
    assert lived_conditions([replace(finding, low=-0.06)], 2.0)[0].state == "holds", "the margin is in scales"
    assert lived_conditions([replace(finding, value=-0.001)], 1.0)[0].state == "failed"


@pytest.mark.parametrize(
    ("people", "missing"),
    [
        (TrialPeople(gain=0.1, leave=(0.05, 0.45)), "lived_retention"),
        (TrialPeople(gain=0.1, miss=(0.0, 0.4)), "lived_retention"),
        (TrialPeople(gain=0.1, missing=(0.0, 0.4)), "lived_improvement"),
        (TrialPeople(gain=0.1, hurt=0.05), "lived_improvement"),
        (TrialPeople(gain=0.1, harmful=0.15), "lived_false_intervention"),
        (TrialPeople(gain=0.1, deficit=0.35), "lived_empathy"),
    ],
)
def test_what_no_mean_of_rewards_shows_holds_a_candidate_back(people: TrialPeople, missing: str) -> None:
    """People who stop coming or pause, missing rewards, few who lose much, dismissals, and coldness."""
    assert states(people)[missing] != "holds"


def test_nothing_is_judged_of_few_people() -> None:
    found = states(TrialPeople(gain=0.1), users=10)
    assert found["lived_improvement"] == found["lived_retention"] == "open"


def test_what_was_not_read_is_open() -> None:
    assert [c.state for c in lived_conditions(None, 1.0)] == ["open"]


def test_findings_are_read_again_as_they_were_stored() -> None:
    found = (
        LivedFinding("improvement", 0.1, -math.inf, math.inf, 0.0, "insufficient"),
        LivedFinding("retention", math.nan, -1.0, 1.0, -0.15, "insufficient"),
    )
    stored = json.loads(json.dumps(lived_json(found), allow_nan=False))
    again = lived_of(stored)
    assert again is not None and again[0] == found[0]
    assert math.isnan(again[1].value) and again[1].bar == -0.15
    assert lived_of({}) is None and lived_json(None) == {}


@pytest.mark.parametrize("most", [1_000, 60])
def test_the_larger_arm_is_thinned_to_the_smaller_one(most: int) -> None:
    ids = np.arange(100, 300)
    ours = np.arange(200) % 5 == 0
    chosen = even_arms(ids, ours, most)
    mine = np.isin(chosen, ids[ours])
    assert mine.sum() == (~mine).sum() == min(40, most // 2)
    assert len(even_arms(ids, np.zeros(200, bool), most)) == 0
