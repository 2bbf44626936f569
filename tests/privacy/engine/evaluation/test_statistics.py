"""Whatever one person's rows hold within the bounds of an import, their numbers stay finite and their row bounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from loops.engine.reward import largest_total
from loops.engine.rows.propensities import LEAST_PROPENSITY
from privacy.engine.evaluation.centred_sums import ValueClips, person_rows
from privacy.engine.evaluation.clips import evaluation_clips
from privacy.engine.evaluation.statistics import (
    EvaluationCandidate,
    EvaluationRows,
    SubCandidate,
    _halves,
    person_values,
)
from privacy.engine.moments.contributions import baseline_contributions, count_contributions, effect_contributions
from privacy.engine.moments.null_population import null_rows
from privacy.engine.moments.release_layout import ReleaseLayout
from privacy.engine.moments.rows import ReleaseRows
from tests.factories.planted import EFFECT, planted_spec

PLANTED = planted_spec()
SPEC = replace(PLANTED, imports=replace(PLANTED.imports, label="l", reward={"total": "r", "empathy": "e"}))


def worst(reward: float) -> ReleaseRows:
    """Null users whose every row has the least propensity and this reward, with signs that alternate."""
    rows = null_rows(SPEC, decisions=16)
    n = len(rows.state)
    tone = replace(rows.subs["tone"], propensity=np.full(n, LEAST_PROPENSITY))
    signs = np.where(np.arange(n) % 2, 1.0, -1.0)
    return replace(rows, propensity=np.full(n, LEAST_PROPENSITY), reward=signs * reward, subs={"tone": tone})


def policy(weights: np.ndarray) -> LinearPolicy:
    return LinearPolicy(FeatureMap.of(SPEC, False), np.vstack([np.zeros_like(weights), weights]), 0.0, 0)


@pytest.mark.filterwarnings("error")
def test_worst_rows_give_finite_numbers_in_every_release() -> None:
    rows = worst(largest_total(SPEC))
    n = len(rows.state)
    speaks, never = policy(EFFECT), policy(np.zeros(3))
    candidate = EvaluationCandidate(
        speaks, never, np.ones((2, 3)), {"tone": SubCandidate(speaks, never, np.ones((2, 3)))}
    )
    evaluation = EvaluationRows(rows, np.zeros(n), np.ones(n, dtype=np.int64))
    clips = evaluation_clips(SPEC, candidate, 16)
    measured = person_values(SPEC, evaluation, candidate)
    assert {"improvement", "improvement_tone", "support", "false_intervention", "empathy_deficit"} <= set(measured)
    for metric, values in measured.items():
        assert np.isfinite(values.value).all(), metric
        assert values.weight is None or np.isfinite(values.weight).all(), metric
        assert np.isfinite(person_rows(values, clips[metric])).all(), metric
    layout = ReleaseLayout.of(SPEC, hinges=False)
    blocks = [count_contributions(SPEC, rows), *baseline_contributions(layout, rows, 0.0)]
    blocks += effect_contributions(layout, rows, 0.0, np.zeros((layout.phi.width, len(layout.targets)))).values()
    assert all(np.isfinite(block).all() for block in blocks)


def _lived(reward: np.ndarray, harmful: np.ndarray) -> EvaluationRows:
    """Two people with two rows each, of whom everybody got the action with probability 1/2."""
    n = len(reward)
    rows = replace(
        null_rows(SPEC, decisions=2).of_people(0, 2),
        action=np.ones(n, dtype=np.int64),
        propensity=np.full(n, 0.5),
        reward=reward,
    )
    return EvaluationRows(rows, np.full(n, np.nan), harmful)


def test_a_label_without_a_reward_counts_in_its_share_and_nowhere_else() -> None:
    always = policy(np.array([1.0, 0.0, 0.0]))
    candidate = EvaluationCandidate(always, policy(np.zeros(3)), np.zeros((2, 3)))
    reward, harmful = np.array([0.5, np.nan, np.nan, np.nan]), np.array([0, 1, 1, 1])
    values = person_values(SPEC, _lived(reward, harmful), candidate)
    false = values["false_intervention"]
    assert false.weight is not None
    assert ((false.value + 0.1 * false.weight) / false.weight).tolist() == pytest.approx([0.5, 1.0])
    improvement, scale = values["improvement"], SPEC.reward.scale
    assert improvement.value.tolist() == pytest.approx([2 * 0.5 / scale, 0.0])
    assert improvement.measured is not None and improvement.measured.tolist() == [True, False]
    assert person_rows(improvement, ValueClips(100.0))[:, 4].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("earlier", [0.0, 1.0])
def test_stability_is_the_later_half_of_a_persons_rows_less_the_earlier(earlier: float) -> None:
    """Two people with four rows each; the second one lived the first one's rewards in the opposite order."""
    first = np.array([earlier, earlier, 1.0, 1.0]) - np.array([0.0, 0.0, earlier, earlier])
    rows = replace(
        null_rows(SPEC, decisions=4).of_people(0, 2),
        action=np.ones(8, dtype=np.int64), propensity=np.full(8, 0.5), reward=np.r_[first, first[::-1]],
    )  # fmt: skip
    always = policy(np.array([1.0, 0.0, 0.0]))
    candidate = EvaluationCandidate(always, policy(np.zeros(3)), np.zeros((2, 3)))
    values = person_values(SPEC, EvaluationRows(rows, np.full(8, np.nan), np.zeros(8, dtype=int)), candidate)
    change = (1.0 - 2.0 * earlier) / 0.5 / SPEC.reward.scale
    assert values["stability"].value.tolist() == pytest.approx([change, -change])


def test_the_middle_one_of_three_rows_is_of_the_earlier_half() -> None:
    rows = null_rows(SPEC, decisions=3).of_people(0, 2)
    assert _halves(rows).tolist() == [-2.0, -2.0, 2.0, -2.0, -2.0, 2.0]


@pytest.mark.parametrize(("believed", "expected"), [(0.0, 1.0), (1.0, 1.0), (-2.0, 1.0)])
def test_a_sub_heads_difference_is_what_was_lived_whatever_the_model_believes(believed: float, expected: float) -> None:
    """Calm gives one more scale than warm. The candidate is always calm, and both tones are tried alike."""
    rows = null_rows(SPEC, decisions=16)
    spoke = np.ones(len(rows.state), dtype=np.int64)
    calm = (np.arange(len(spoke)) % 2).astype(np.int64)
    tone = replace(rows.subs["tone"], action=calm, propensity=np.full(len(spoke), 0.5))
    rows = replace(rows, action=spoke, reward=calm * np.float64(SPEC.reward.scale), subs={"tone": tone})
    always, never = policy(np.array([1.0, 0.0, 0.0])), policy(np.zeros(3))
    effects = np.array([[0.0, 0.0, 0.0], [believed, 0.0, 0.0]])
    candidate = EvaluationCandidate(always, never, np.zeros((2, 3)), {"tone": SubCandidate(always, never, effects)})
    evaluation = EvaluationRows(rows, np.full(len(spoke), np.nan), np.zeros(len(spoke), dtype=int))
    values = person_values(SPEC, evaluation, candidate)["improvement_tone"].value
    assert float(values.mean()) == pytest.approx(expected)
