"""A trial's release: one bounded vector a person, its sums, what the clips hide, and its price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loops.engine.spec import LoopSpec, Silence
from privacy.engine.dp.mechanisms import integer_sum
from privacy.engine.evaluation.centred_sums import person_rows
from privacy.engine.evaluation.on_policy import (
    FAR_CLIP,
    IMPROVEMENT_CLIP,
    IMPROVEMENT_COLUMNS,
    LEVEL_CLIP,
    LEVEL_COLUMNS,
    NARROW_CLIP,
    SPREAD_CLIP,
    SPREAD_COLUMNS,
    WIDE_CLIP,
    TrialRows,
    adjusted_rewards,
    guardrail_clips,
    guardrail_values,
    guardrails,
    improvement_rows,
    level_rows,
    release_trial,
    spread_rows,
)
from tests.factories.builtin_loops import builtin
from tests.factories.trial_people import CLIPS, SIGMA, SPEC, TrialPeople

STEPS = 1 << 20


def _rows(
    reward: list[float], candidate: list[bool], *, harmful: int = -1, empathy: float = float("nan"), speaks: bool = True
) -> TrialRows:
    """People with one decision each; rewards in reward scales."""
    n = len(reward)
    return TrialRows(
        np.arange(n), np.array(candidate), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.int64),
        np.array(reward) * SPEC.reward.scale,
        np.full(n, speaks), np.full(n, empathy), np.full(n, harmful),
    )  # fmt: skip


def _sums(rows: TrialRows, centre: float = 0.0) -> dict[str, float]:
    stored = release_trial(SPEC, rows, centre=centre, decisions=1, clips=CLIPS, sigma=None)
    return dict(zip(IMPROVEMENT_COLUMNS, stored["improvement"].tolist(), strict=True))


def _guard(rows: TrialRows, metric: str, spec: LoopSpec = SPEC) -> tuple[float, float]:
    """Centred number and weight of the first person."""
    values = guardrail_values(spec, rows, 1)[metric]
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
    once = replace(
        rows, person=np.array([0, 0, 0]), candidate=np.array([True]), missed=np.zeros(1),
        unreported=np.zeros(1), before=np.zeros(1), before_count=np.zeros(1, np.int64),
    )  # fmt: skip
    assert adjusted_rewards(SPEC, once, 0.0) == pytest.approx([0.3])
    assert _sums(once)["users"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("decisions", "expected"), [(0, 0.9), (12, 0.9 - 0.5 * 0.4), (36, 0.9 - 0.75 * 0.4)])
def test_what_a_person_always_earned_is_taken_off_by_how_often_it_was_seen(decisions: int, expected: float) -> None:
    rows = replace(_rows([1.0], [True]), before=np.array([0.5 * SPEC.reward.scale]), before_count=np.array([decisions]))
    assert adjusted_rewards(SPEC, rows, 0.1) == pytest.approx([expected])


def test_centres_are_the_means_of_people_with_and_without_a_past() -> None:
    rows = replace(_rows([0.5, 0.3, 0.9, 0.9], [True, False, True, False]), before_count=np.array([10**9, 10**9, 0, 0]))
    stored = release_trial(SPEC, rows, centre=0.0, decisions=1, clips=CLIPS, sigma=None)
    assert stored["level"] == pytest.approx([0.8, 2, 1.8, 2], abs=1e-4)
    sums = dict(zip(IMPROVEMENT_COLUMNS, stored["improvement"].tolist(), strict=True))
    assert sums["value"] / 4 == pytest.approx((0.2 + 0.0) / 2, abs=1e-4)
    assert sums["square"] == pytest.approx(2 * 0.2**2, abs=1e-4)  # distances from the centres alone


def test_many_people_beyond_the_narrow_clip_choose_the_wide_one() -> None:
    close, far = [0.1, -0.1] * 50, [1.0, -1.0] * 3
    very_far = [2.0, -2.0] * 4
    for rewards, clip in (
        (close, NARROW_CLIP), (close + far[:2], NARROW_CLIP), (close + far, WIDE_CLIP), (close + very_far, FAR_CLIP),
    ):  # fmt: skip
        rows = _rows(rewards, [i % 2 == 0 for i in range(len(rewards))])
        stored = release_trial(SPEC, rows, centre=0.0, decisions=1, clips=CLIPS, sigma=None)
        assert stored["improvement_clip"] == pytest.approx([clip])


@pytest.mark.parametrize(
    ("signed", "expected"),
    [
        (0.5, [0.5, 0.25, 0, 0]), (-1.0, [-1, 1, 0, 0]), (-1.01, [0, 0, 1, 0]), (-50.0, [0, 0, 1, 0]),
        (1.01, [0, 0, 0, 1]), (50.0, [0, 0, 0, 1]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_person_beyond_the_clip_counts_on_their_side_alone(signed: float, expected: list[float], sign: float) -> None:
    row = improvement_rows(np.array([sign]), np.array([sign * signed * 0.6]), 0.6, np.array([False]))[0]
    assert row == pytest.approx([*expected, 1, sign])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_person_who_is_very_low_beside_a_usual_past_counts_for_their_arm(sign: float) -> None:
    low = np.array([True])
    assert improvement_rows(np.array([sign]), np.array([0.1]), 0.6, low)[0] == pytest.approx([0, 0, sign, 0, 1, sign])
    against = improvement_rows(np.array([sign]), np.array([-sign]), 0.6, low)[0]
    assert against == pytest.approx([0, 0, 1, 0, 1, sign])  # counts once


def test_people_whom_log_and_candidate_hurt_alike_count_against_the_candidate() -> None:
    """Their past foretells their present, so that their adjusted number looks usual."""
    hurt = replace(
        _rows([-4.0, 0.0], [True, False]), before=np.full(2, -4.5 * SPEC.reward.scale), before_count=np.full(2, 90)
    )
    assert _sums(hurt)["against"] == pytest.approx(2, abs=1e-4)
    always = replace(
        _rows([-4.0, -4.0], [True, False]), before=np.full(2, -4.5 * SPEC.reward.scale), before_count=np.full(2, 90)
    )
    assert _sums(always)["against"] == pytest.approx(0, abs=1e-4)


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


def test_somebody_with_few_decisions_counts_in_proportion() -> None:
    rows = _rows([0.0], [True], harmful=1)
    usual, few = (guardrail_values(SPEC, rows, decisions)["false_intervention"] for decisions in (2, 100))
    assert (usual.value[0], few.value[0]) == pytest.approx((0.9, 0.9 / 50))


def test_people_at_the_bar_are_inside_the_clips_and_one_who_dismisses_everything_is_beyond() -> None:
    rng, n, each = np.random.default_rng(1), 2_000, 40
    speaks = rng.random(n * each) < 0.5
    blames = np.where(np.repeat(np.arange(n), each) == 0, True, rng.random(n * each) < 0.1)
    rows = TrialRows(
        np.repeat(np.arange(n), each), np.full(n, True), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.int64),
        np.zeros(n * each), speaks,
        rng.uniform(0.5, 1.0, n * each), blames.astype(np.int64),
    )  # fmt: skip
    clips = guardrail_clips(SPEC, intervention_rate=0.5, exploration=0.0, decisions=each)
    for metric in ("false_intervention", "empathy_deficit"):
        beyond = (person_rows(guardrail_values(SPEC, rows, each)[metric], clips[metric])[:, 2:4] != 0).sum(axis=1)
        assert np.mean(beyond != 0) < 0.01
        assert (beyond[0] != 0) == (metric == "false_intervention")
    assert clips["false_intervention"].value < 0.5 * 0.9 * 0.5  # far less than the worst person could do


@pytest.mark.parametrize("bar_side", ["false_intervention", "empathy_deficit"])
def test_people_who_are_never_harmed_are_inside_the_clips(bar_side: str) -> None:
    rows = _rows([0.0], [True], harmful=0, empathy=1.0)
    clips = guardrail_clips(SPEC, intervention_rate=1.0, exploration=0.0, decisions=200)
    row = person_rows(guardrail_values(SPEC, rows, 1)[bar_side], clips[bar_side])[0]
    assert row[0] < 0 and not row[2:4].any()


@pytest.mark.parametrize("reward", [-1e9, -1.5, 0.0, 0.75, 1e9])
@pytest.mark.parametrize("before", [-1e9, 0.0, 1e9])
@pytest.mark.parametrize("before_count", [0, 1, 10**9])
@pytest.mark.parametrize("candidate", [True, False])
@pytest.mark.parametrize("missed", [0.0, 0.4, 1.0])
def test_the_worst_person_moves_no_reward_block_by_more_than_its_clip(
    reward: float, before: float, before_count: int, candidate: bool, missed: float
) -> None:
    rows = replace(
        _rows([reward], [candidate]), before=np.array([before]), before_count=np.array([before_count], dtype=np.int64)
    )
    adjusted = adjusted_rewards(SPEC, rows, 0.0)
    signs = np.where(rows.candidate, 1.0, -1.0)
    for vector, columns, clip in (
        (level_rows(adjusted, rows.before_count > 0), LEVEL_COLUMNS, LEVEL_CLIP),
        (spread_rows(adjusted, np.array([missed]), np.array([missed])), SPREAD_COLUMNS, SPREAD_CLIP),
        *(
            (improvement_rows(signs, adjusted, clip, np.array([low])), IMPROVEMENT_COLUMNS, IMPROVEMENT_CLIP)
            for clip in (NARROW_CLIP, WIDE_CLIP, FAR_CLIP)
            for low in (False, True)
        ),
    ):
        scaled = vector * list(columns.values())
        assert np.linalg.norm(scaled) <= clip * (1 + 1e-12)  # the ball is a bound and changes nobody
        assert np.linalg.norm(integer_sum(scaled, clip=clip, steps=STEPS)) <= STEPS


@pytest.mark.parametrize("candidate", [True, False])
@pytest.mark.parametrize("harmful", [1, 0, -1])
@pytest.mark.parametrize("empathy", [-3.0, 0.0, 1.0, float("nan")])
@pytest.mark.parametrize("decisions", [0, 1, 1_000])
def test_the_worst_person_moves_no_guardrail_by_more_than_its_clip(
    candidate: bool, harmful: int, empathy: float, decisions: float
) -> None:
    rows = _rows([0.0], [candidate], harmful=harmful, empathy=empathy)
    for metric, values in guardrail_values(SPEC, rows, decisions).items():
        assert np.abs(person_rows(values, CLIPS[metric])).max() <= 1  # their blocks' clips hold for such rows


def test_the_blocks_spend_no_more_than_the_release() -> None:
    rows = TrialPeople().rows(np.random.default_rng(1), 50)
    stored = release_trial(SPEC, rows, centre=0, decisions=40, clips=CLIPS, sigma=SIGMA)
    blocks = ("level", "spread", "improvement", "retention", "reports", *guardrails(SPEC))
    assert {name.removesuffix("_rho") for name in stored if name.endswith("_rho")} == set(blocks)
    spent = sum(float(stored[f"{block}_rho"][0]) for block in blocks)
    assert 0.999 / (2 * SIGMA**2) < spent <= 1 / (2 * SIGMA**2)


def test_a_loop_without_labels_and_empathy_measures_the_improvement_alone() -> None:
    known = builtin("heartsteps")
    spec = replace(known, imports=replace(known.imports, label=None))
    assert guardrails(spec) == ()
    assert guardrail_clips(spec, intervention_rate=0.5, exploration=0.1, decisions=40) == {}


def test_harm_that_comes_as_a_label_alone_is_seen() -> None:
    rows = _rows([float("nan"), 0.4, 0.2], [True, True, False], harmful=1)
    assert rows.rewarded.tolist() == [False, True, True]
    sums = _sums(rows)
    assert (sums["users"], sums["arms"]) == pytest.approx((2, 0), abs=1e-4)
    assert sums["value"] / sums["users"] == pytest.approx(0.2, abs=1e-4)
    assert _guard(rows, "false_intervention") == pytest.approx((0.9, 1))
