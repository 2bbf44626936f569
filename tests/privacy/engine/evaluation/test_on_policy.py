"""A trial's release: one bounded vector a person, its sums, what the clips hide, and its price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loops.engine.spec import LoopSpec, Silence
from privacy.engine.dp.mechanisms import integer_sum
from privacy.engine.evaluation.centred_sums import person_rows
from privacy.engine.evaluation.on_policy import (
    IMPROVEMENT_CLIP,
    IMPROVEMENT_COLUMNS,
    TRIAL_CLIP,
    TrialRows,
    guardrail_clips,
    guardrail_values,
    guardrails,
    improvement_rows,
    release_trial,
)
from tests.factories.loops import builtin
from tests.factories.trial_people import CLIPS, SIGMA, SPEC, TrialPeople

STEPS = 1 << 20


def _rows(
    reward: list[float], candidate: list[bool], *, harmful: int = -1, empathy: float = float("nan"), speaks: bool = True
) -> TrialRows:
    """People with one decision each; rewards in reward scales."""
    n = len(reward)
    return TrialRows(
        np.arange(n), np.array(candidate), np.array(reward) * SPEC.reward.scale, np.full(n, speaks),
        np.full(n, empathy), np.full(n, harmful),
    )  # fmt: skip


def _sums(rows: TrialRows, centre: float = 0.0) -> dict[str, float]:
    stored = release_trial(SPEC, rows, centre=centre, clips=CLIPS, sigma=None)
    return dict(zip(IMPROVEMENT_COLUMNS, stored["improvement"].tolist(), strict=True))


def _guard(rows: TrialRows, metric: str, spec: LoopSpec = SPEC) -> tuple[float, float]:
    """Centred number and weight of the first person."""
    values = guardrail_values(spec, rows)[metric]
    assert values.weight is not None
    return float(values.value[0]), float(values.weight[0])


def test_the_sum_over_people_estimates_the_difference_of_the_arms() -> None:
    sums = _sums(_rows([0.5, 0.3, 0.1, 0.2], [True, True, False, False]))
    assert sums["value"] / sums["users"] == pytest.approx(0.4 - 0.15, abs=1e-4)
    assert (sums["users"], sums["arms"]) == pytest.approx((4, 0), abs=1e-4)


def test_the_centre_moves_both_arms_alike() -> None:
    rows = _rows([0.5, 0.3, 0.1, 0.2], [True, True, False, False])
    assert _sums(rows, 0.25)["value"] == pytest.approx(_sums(rows)["value"], abs=1e-4)


def test_a_person_counts_once_with_the_mean_over_explored_and_other_decisions() -> None:
    rows = _rows([0.6, 0.0, 0.3], [True, True, True])
    once = replace(rows, person=np.array([0, 0, 0]), candidate=np.array([True]))
    sums = _sums(once)
    assert (sums["users"], sums["value"]) == pytest.approx((1, 2 * 0.3), abs=1e-4)


@pytest.mark.parametrize(
    ("reward", "candidate", "loss", "gain"),
    [
        (-10.0, True, 1, 0), (10.0, True, 0, 1), (10.0, False, 1, 0), (-10.0, False, 0, 1), (-1.0, True, 1 / 3, 0),
        (0.7, True, 0, 0),
    ],
)  # fmt: skip
def test_what_the_clip_hides_is_counted_on_its_side(reward: float, candidate: bool, loss: float, gain: float) -> None:
    sums = _sums(_rows([reward], [candidate]))
    assert abs(sums["value"]) <= 2 * TRIAL_CLIP + 1e-4
    assert (sums["hidden_loss"], sums["hidden_gain"]) == pytest.approx((loss, gain), abs=1e-4)


@pytest.mark.parametrize(("harmful", "value", "weight"), [(1, 0.9, 1), (0, -0.1, 1), (-1, 0.0, 0)])
def test_false_interventions_are_centred_at_their_bar_over_answered_interventions(
    harmful: int, value: float, weight: float
) -> None:
    assert _guard(_rows([0.0], [True], harmful=harmful), "false_intervention") == pytest.approx((value, weight))


@pytest.mark.parametrize(
    ("silence", "value", "weight"), [("unknown", 0.0, 0), ("harmless", -0.1, 1), ("harmful", 0.9, 1)]
)
def test_an_intervention_without_an_answer_is_what_the_loop_says(silence: Silence, value: float, weight: float) -> None:
    spec = replace(SPEC, reward=replace(SPEC.reward, silence=silence))
    assert _guard(_rows([0.0], [True]), "false_intervention", spec) == pytest.approx((value, weight))


def test_where_silence_is_unknown_its_share_is_released() -> None:
    assert "silence" in guardrails(SPEC)
    assert _guard(_rows([0.0], [True]), "silence") == (1.0, 1.0)
    assert "silence" not in guardrails(replace(SPEC, reward=replace(SPEC.reward, silence="harmless")))


def test_empathy_is_centred_at_its_bar() -> None:
    assert _guard(_rows([0.0], [True], empathy=0.5), "empathy_deficit") == pytest.approx((0.25, 1.0))


def test_guardrails_read_the_candidates_interventions_alone() -> None:
    for rows in (_rows([0.0], [False], harmful=1), _rows([0.0], [True], harmful=1, speaks=False)):
        assert _guard(rows, "false_intervention") == (0.0, 0.0)


def test_a_person_who_dismisses_everything_at_the_candidates_rate_is_not_clipped() -> None:
    speaks = np.arange(10) < 5
    rows = TrialRows(
        np.zeros(10, np.int64), np.array([True]), np.zeros(10), speaks, np.full(10, np.nan), np.ones(10, np.int64)
    )
    clip = guardrail_clips(SPEC, intervention_rate=0.5, exploration=0.0)["false_intervention"]
    assert _guard(rows, "false_intervention") == pytest.approx((0.45, 0.5))
    assert (clip.value, clip.weight) == pytest.approx((0.45, 0.5))
    counted = person_rows(guardrail_values(SPEC, rows)["false_intervention"], clip)[0]
    assert counted[:3] == pytest.approx([1.0, 1.0, 0.0])


@pytest.mark.parametrize("reward", [-1e9, -1.5, 0.0, 0.75, 1e9])
@pytest.mark.parametrize("candidate", [True, False])
@pytest.mark.parametrize("harmful", [1, 0, -1])
@pytest.mark.parametrize("empathy", [-3.0, 0.0, 1.0, float("nan")])
def test_the_worst_person_moves_no_block_by_more_than_its_clip(
    reward: float, candidate: bool, harmful: int, empathy: float
) -> None:
    rows = _rows([reward], [candidate], harmful=harmful, empathy=empathy)
    vector = improvement_rows(SPEC, rows, 0.0) * list(IMPROVEMENT_COLUMNS.values())
    assert np.linalg.norm(vector) <= IMPROVEMENT_CLIP * (1 + 1e-12)  # the ball is a bound and changes nobody
    assert np.linalg.norm(integer_sum(vector, clip=IMPROVEMENT_CLIP, steps=STEPS)) <= STEPS
    for metric, values in guardrail_values(SPEC, rows).items():
        assert np.abs(person_rows(values, CLIPS[metric])).max() <= 1  # their blocks' clips hold for such rows


def test_the_blocks_spend_no_more_than_the_release() -> None:
    rows = TrialPeople().rows(np.random.default_rng(1), 50)
    stored = release_trial(SPEC, rows, centre=0, clips=CLIPS, sigma=SIGMA)
    spent = sum(float(stored[f"{metric}_rho"][0]) for metric in ("improvement", *guardrails(SPEC)))
    assert 0.999 / (2 * SIGMA**2) < spent <= 1 / (2 * SIGMA**2)


def test_a_loop_without_labels_and_empathy_measures_the_improvement_alone() -> None:
    known = builtin("heartsteps")
    spec = replace(known, imports=replace(known.imports, label=None))
    assert guardrails(spec) == ()
    assert guardrail_clips(spec, intervention_rate=0.5, exploration=0.1) == {}
