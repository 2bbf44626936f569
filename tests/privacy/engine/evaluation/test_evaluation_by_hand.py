"""The numbers of an evaluation, person by person from their formulas, and the public constants that releases were made with."""

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from core.arrays import Floats
from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import Head, LoopSpec
from privacy.engine.dp.mechanisms import noisy_sum
from privacy.engine.evaluation import arm_differences, centred_sums, clips, on_policy, release, statistics
from privacy.engine.evaluation.arm_differences import difference_rows, read_difference, release_difference
from privacy.engine.evaluation.centred_sums import (
    BLOCK_CLIPS,
    CentredSums,
    PersonValues,
    ValueClips,
    person_rows,
    read_centred,
    release_centred,
)
from privacy.engine.evaluation.clips import _rarer, _value_clip, evaluation_clips
from privacy.engine.evaluation.on_policy import (
    TrialRows,
    _Block,
    _chosen_clip,
    _level,
    adjusted_rewards,
    guardrail_clips,
    guardrail_values,
    improvement_rows,
    level_rows,
    mean_rewards,
    release_trial,
    spread_rows,
)
from privacy.engine.evaluation.on_policy import (
    _value_clip as _trial_clip,
)
from privacy.engine.evaluation.release import EVALUATION_SHARES, beyond_rows, release_values
from privacy.engine.evaluation.statistics import (
    EvaluationCandidate,
    EvaluationRows,
    SubCandidate,
    harm_and_answers,
    measured_metrics,
    person_values,
)
from privacy.engine.moments.null_population import LoggingPolicy, null_rows
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows
from tests.factories.planted import planted_spec

# A stored release was clipped, scaled and noised by these, so a change needs a new layout and the old one kept readable.
CONSTANTS: list[tuple[ModuleType, str, object]] = [
    (release, "EVALUATION_SHARES", {
        "spread": 0.03, "improvement": 0.24, "false_intervention": 0.34, "empathy_deficit": 0.12, "support": 0.07,
        "silence": 0.11, "silence_logged": 0.05, "stability": 0.04,
    }),
    (release, "WIDER", 3.0),
    (release, "MOST_BEYOND", 0.04),
    (release, "_PEOPLE_SCALE", 0.3),
    (release, "SPREAD_NORM", math.hypot(1.0, 0.3)),
    (release, "SUB_METRIC_SHARE", 0.05),
    (centred_sums, "_SHRUNK", 0.5),
    (centred_sums, "HEAD_COUNT_Z", 1.645),
    (centred_sums, "ENTRIES", ("value", "square", "below", "above", "people", "weight")),
    (clips, "_NULL_DEFICIT", 0.5),
    (clips, "_QUANTILE", 0.95),
    (clips, "_MEAN_FACTOR", 1.75),
    (clips, "_SHARE_QUANTILE", 0.99),
    (clips, "_SHARE_FACTOR", 1.25),
    (clips, "_WEIGHT_QUANTILE", 0.95),
    (clips, "_LEAST", 1e-3),
    (statistics, "DEFICIT_BAR", 0.25),
    (arm_differences, "LATE_SHARE", 0.25),
    (arm_differences, "DIFFERENCE_COLUMNS", {"difference": 1.0, "total": 0.3, "people": 0.2}),
    (arm_differences, "DIFFERENCE_CLIP", pytest.approx(math.sqrt(1.0 + 0.09 + 0.04))),
    (on_policy, "TRIAL_SHARES", {
        "level": 0.01, "spread": 0.04, "improvement": 0.47, "retention": 0.10, "reports": 0.04,
        "false_intervention": 0.22, "empathy_deficit": 0.03, "silence": 0.09,
    }),
    (on_policy, "_BARS", {"false_intervention": 0.1, "empathy_deficit": 0.25, "silence": 0.0}),
    (on_policy, "NARROW_CLIP", 0.6),
    (on_policy, "WIDE_CLIP", 1.25),
    (on_policy, "FAR_CLIP", 2.5),
    (on_policy, "LOST_BADLY", 2.5),
    (on_policy, "MOST_BEYOND_NARROW", 0.04),
    (on_policy, "MOST_BEYOND_WIDE", 0.04),
    (on_policy, "_FAR_SD", 2.0),
    (on_policy, "_LEVEL_UNIT", 1.0),
    (on_policy, "_PRIOR_DECISIONS", 12.0),
    (on_policy, "_LEAST_RATE", 0.1),
    (on_policy, "_WEIGHT_FACTOR", 1.1),
    (on_policy, "_LEAST_SHARE", 0.5),
    (on_policy, "_VALUE_QUANTILE", 0.99),
    (on_policy, "_VALUE_FACTOR", 1.25),
    (on_policy, "_LEAST_CLIP", 1e-3),
    (on_policy, "_NULL_PEOPLE", 20_000),
    (on_policy, "LEVEL_COLUMNS", {"with_past": 1.0, "people_with": 0.3, "without": 1.0, "people_without": 0.3}),
    (on_policy, "LEVEL_CLIP", pytest.approx(math.hypot(1.0, 0.3))),
    (on_policy, "SPREAD_COLUMNS", {"beyond": 1.0, "users": 0.3, "retention": 0.3, "reports": 0.3, "far": 0.5}),
    (on_policy, "SPREAD_CLIP", pytest.approx(math.sqrt(1.0 + 3 * 0.09 + 0.25))),
    (on_policy, "IMPROVEMENT_COLUMNS", {
        "value": 1.0, "square": 0.3, "against": 1.0, "favour": 1.0, "users": 0.2, "arms": 0.25,
    }),
    (on_policy, "IMPROVEMENT_CLIP", pytest.approx(math.sqrt(1.0 + 0.09 + 0.04 + 0.0625))),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name", "value"), [pytest.param(*c, id=c[1]) for c in CONSTANTS])
def test_a_constant_has_the_value_that_releases_were_made_with(module: ModuleType, name: str, value: object) -> None:
    assert getattr(module, name) == value


def test_scales_and_norms_of_centred_sums() -> None:
    """The longest row of a mean: 1, .3 and .2; of a share: 1, .25, .15 and .4."""
    assert centred_sums._SCALES["mean"].tolist() == [1.0, 0.3, 1.0, 1.0, 0.2, 0.0]
    assert centred_sums._SCALES["share"].tolist() == [1.0, 0.25, 1.0, 1.0, 0.15, 0.4]
    assert BLOCK_CLIPS["mean"] == pytest.approx(math.sqrt(1 + 0.09 + 0.04))
    assert BLOCK_CLIPS["share"] == pytest.approx(math.sqrt(1 + 0.0625 + 0.0225 + 0.16))


def sums(kind: str = "mean", **other: float) -> CentredSums:
    numbers = {
        "value": 2.0, "square": 3.0, "below": 4.0, "above": 6.0, "people": 50.0, "weight": 30.0, "sd_value": 0.5,
        "sd_square": 0.6,
        "sd_beyond": 1.0, "sd_people": 10.0, "sd_weight": 4.0,
    }  # fmt: skip
    return CentredSums(kind=kind, clips=ValueClips(0.5, 0.8), **(numbers | other))  # type: ignore[arg-type]


def test_a_divisor_has_an_interval_of_90_percent_above_nothing() -> None:
    assert sums().divisor == (50.0, 10.0) and sums("share").divisor == (30.0, 4.0)
    assert sums().divisor_range == pytest.approx((50 - 16.45, 50 + 16.45))
    assert sums("share").divisor_range == pytest.approx((30 - 6.58, 30 + 6.58))
    assert sums(people=-40.0).divisor_range == (1e-9, 1e-9)


def test_people_beyond_the_clip_count_as_the_clip_less_half_the_noise() -> None:
    assert sums().beyond == (3.5, 5.5)
    assert sums(below=0.2, above=-3.0).beyond == (0.0, 0.0)
    assert sums().clipped_value == 2.0 + 0.5 * (5.5 - 3.5)


def test_a_row_in_units_of_its_clips() -> None:
    """Inside, on the edge, beyond on either side; a heavy weight scales numerator and weight down together."""
    values = PersonValues(np.array([0.25, -0.5, -0.6, 0.51]))
    assert person_rows(values, ValueClips(0.5)).tolist() == [
        [0.5, 0.25, 0, 0, 1, 0], [-1.0, 1.0, 0, 0, 1, 0], [0, 0, 1, 0, 1, 0], [0, 0, 0, 1, 1, 0],
    ]  # fmt: skip
    share = PersonValues(np.array([0.3, 0.3]), np.array([0.4, 1.6]), np.array([True, False]))
    np.testing.assert_allclose(
        person_rows(share, ValueClips(0.5, 0.8)), [[0.6, 0.36, 0, 0, 1, 0.5], [0.3, 0.09, 0, 0, 0, 1.0]]
    )


@pytest.mark.parametrize("weight", [None, np.array([0.4, 0.2])])
def test_released_sums_are_in_the_metrics_own_units(weight: Floats | None) -> None:
    values = PersonValues(np.array([0.3, -0.2]), weight)
    found = read_centred(release_centred("m", values, ValueClips(0.5, 0.8), sigma=None, share=0.1), "m")
    assert (found.value, found.square) == pytest.approx((0.1, 0.09 + 0.04), abs=1e-5)
    assert (found.people, found.weight) == pytest.approx((2.0, 0.0 if weight is None else 0.6), abs=1e-5)
    assert found.kind == values.kind and found.clips == ValueClips(0.5, 0.8)
    noisy = read_centred(release_centred("m", values, ValueClips(0.5, 0.8), sigma=2.0, share=0.25), "m")
    step, scales = 4.0 * BLOCK_CLIPS[values.kind], centred_sums._SCALES[values.kind]
    assert noisy.sd_value == pytest.approx(step * 0.5)
    assert noisy.sd_square == pytest.approx(step * 0.25 / scales[1])
    assert noisy.sd_beyond == pytest.approx(step)
    assert noisy.sd_people == pytest.approx(step / scales[4])
    assert noisy.sd_weight == pytest.approx(0.0 if weight is None else step * 0.8 / 0.4)


def test_blocks_divide_the_release_in_the_ratio_of_their_shares() -> None:
    """The improvement's .24, the count's .03 and a sub-head's .05 are the whole of a release with these alone."""
    values = {"improvement": PersonValues(np.zeros(5)), "improvement_tone": PersonValues(np.zeros(5))}
    both = {name: ValueClips(0.5) for name in values}
    out, whole = release_values(values, both, EVALUATION_SHARES, 2.0), 1 / (2 * 2.0**2)
    assert float(out["improvement_rho"][0]) == pytest.approx(whole * 0.24 / 0.32)
    assert float(out["improvement_tone_rho"][0]) == pytest.approx(whole * 0.05 / 0.32)
    assert float(out["spread_rho"][0]) == pytest.approx(whole * 0.03 / 0.32)
    alone = release_values({"support": PersonValues(np.zeros(5))}, {"support": ValueClips(1.0)}, EVALUATION_SHARES, 2.0)
    assert "spread_rho" not in alone and float(alone["support_rho"][0]) == pytest.approx(whole)
    without = release_values(values, both, {"improvement": 0.15}, 2.0)
    assert "spread_rho" not in without and float(without["improvement_rho"][0]) == pytest.approx(whole * 0.75)


def test_who_has_no_reward_is_nobody_in_the_count_of_people() -> None:
    values = PersonValues(np.array([0.6, -0.7, 0.5]), measured=np.array([True, True, False]))
    np.testing.assert_allclose(beyond_rows(values, ValueClips(0.5)), [[1, 0.3], [1, 0.3], [0, 0.0]])
    np.testing.assert_allclose(beyond_rows(PersonValues(np.zeros(2)), ValueClips(0.5)), [[0, 0.3], [0, 0.3]])


@pytest.mark.parametrize(("beyond", "wide"), [(9, False), (14, True)])
def test_a_wide_clip_needs_more_beyond_it_than_the_noise_explains(
    beyond: int, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 people, noise of 5 on the count: 4 + 1.645 x 5 = 12.2 must lie beyond."""

    def counted(rows: Floats, **options: float) -> object:
        exact = noisy_sum(rows, clip=options["clip"], sigma=None, share=1.0)
        return replace(exact, sd=5.0) if rows.shape[1] == 2 else exact

    monkeypatch.setattr(release, "noisy_sum", counted)
    values = PersonValues(np.r_[np.full(beyond, 0.6), np.zeros(100 - beyond)])
    out = release_values({"improvement": values}, {"improvement": ValueClips(0.5)}, EVALUATION_SHARES, None)
    assert float(out["improvement_clips"][0]) == pytest.approx(1.5 if wide else 0.5)


PLANTED = planted_spec()
SPEC = replace(
    PLANTED,
    heads=(
        Head("policy", ("wait", "ping", "hug"), "wait", (0.5, 0.3, 0.2)),
        Head("tone", ("warm", "calm"), "warm", (0.6, 0.4), when="intervening"),
    ),
    reward=replace(PLANTED.reward, scale=2.0),
    imports=replace(PLANTED.imports, label="l", reward={"total": "r", "empathy": "e"}),
)
PHI = FeatureMap.of(SPEC, False)
CANDIDATE_WEIGHTS = np.array([[0.0, 0.0, 0.0], [0.1, 0.8, 0.0], [-0.1, 0.0, 0.7]])
RIVAL_WEIGHTS = np.array([[0.0, 0.0, 0.0], [0.2, 0.0, 0.5], [-0.3, 0.1, 0.0]])
REWARD = np.array([[0.1, 0.2, 0.0], [0.3, 0.0, 0.1], [-0.1, 0.1, 0.2]])
EFFECTS = np.array([[0.0, 0.0, 0.0], [0.2, 0.1, -0.3]])
POLICY, RIVAL = LinearPolicy(PHI, CANDIDATE_WEIGHTS, 0.0, 0), LinearPolicy(PHI, RIVAL_WEIGHTS, 0.0, 0)
TONE = LinearPolicy(PHI, np.array([[0.0, 0.0, 0.0], [0.1, 0.5, 0.0]]), 0.0, 0)
WARM = LinearPolicy(PHI, np.zeros((2, 3)), 0.0, 0)
CANDIDATE = EvaluationCandidate(POLICY, RIVAL, REWARD, {"tone": SubCandidate(TONE, WARM, EFFECTS)})
COUNTS = (5, 4, 1)


def _evaluation() -> EvaluationRows:
    rng, n = np.random.default_rng(11), sum(COUNTS)
    action = rng.choice(3, n)
    tone = np.where(action > 0, rng.choice(2, n), -1)
    reward = rng.normal(size=n) * 2
    reward[[1, 9]] = np.nan
    rows = ReleaseRows(
        person=np.repeat(np.arange(3), COUNTS),
        state=np.column_stack([rng.uniform(-1, 1, n), rng.uniform(0, 1, n)]),
        next_state=np.zeros((n, 2)),
        has_next=np.ones(n, bool),
        dropped_out=np.zeros(n, bool),
        action=action,
        propensity=np.array([0.5, 0.3, 0.2])[action],
        explored=np.ones(n, bool),
        reward=reward,
        subs={"tone": SubHeadRows(tone, np.where(tone == 1, 0.4, np.where(tone == 0, 0.6, np.nan)), np.ones(n, bool))},
    )
    empathy, harmful = rng.uniform(0, 1, n), rng.choice([-1, 0, 1], n)
    empathy[::3] = np.nan
    return EvaluationRows(rows, empathy, harmful)


EVALUATION = _evaluation()
ROWS = EVALUATION.rows
PEOPLE: list[list[int]] = [np.flatnonzero(ROWS.person == who).tolist() for who in range(3)]
VALUES = person_values(SPEC, EVALUATION, CANDIDATE)


def _weight(values: PersonValues) -> Floats:
    assert values.weight is not None
    return values.weight


def phi_of(i: int) -> Floats:
    return np.array([1.0, ROWS.state[i, 0], 2 * ROWS.state[i, 1] - 1])


def chosen(weights: Floats, i: int) -> int:
    return int(np.argmax(weights @ phi_of(i)))


def residual_of(i: int) -> float:
    return (
        0.0 if math.isnan(ROWS.reward[i]) else float(ROWS.reward[i]) / 2.0 - float(REWARD[ROWS.action[i]] @ phi_of(i))
    )


def over_rewarded(own: list[int], numbers: dict[int, float]) -> float:
    seen = [i for i in own if np.isfinite(ROWS.reward[i])]
    return sum(numbers[i] for i in seen) / max(len(seen), 1)


def test_the_improvement_is_doubly_robust_and_paired() -> None:
    """Modelled gain plus (weight of the candidate - weight of the rival) x residual, over rows with a reward."""
    numbers = {}
    for i in range(len(ROWS.person)):
        mine, theirs, done = chosen(CANDIDATE_WEIGHTS, i), chosen(RIVAL_WEIGHTS, i), int(ROWS.action[i])
        modelled = float((REWARD[mine] - REWARD[theirs]) @ phi_of(i))
        weight = ((mine == done) - (theirs == done)) / ROWS.propensity[i]
        numbers[i] = modelled + weight * residual_of(i)
    np.testing.assert_allclose(VALUES["improvement"].value, [over_rewarded(own, numbers) for own in PEOPLE])
    measured = VALUES["improvement"].measured
    assert measured is not None and measured.tolist() == [True, True, False]


def test_stability_is_the_candidates_own_reward_later_less_earlier() -> None:
    numbers = {}
    for own in PEOPLE:
        for position, i in enumerate(own):
            mine = chosen(CANDIDATE_WEIGHTS, i)
            weight = (mine == ROWS.action[i]) / ROWS.propensity[i]
            sign = 2.0 if 2 * position >= len(own) else -2.0
            numbers[i] = sign * (float(REWARD[mine] @ phi_of(i)) + weight * residual_of(i))
    np.testing.assert_allclose(VALUES["stability"].value, [over_rewarded(own, numbers) for own in PEOPLE])


def test_support_is_the_mean_weight_less_one_where_both_would_differ() -> None:
    values, weights = [], []
    for own in PEOPLE:
        matched, differing = 0.0, 0
        for i in own:
            mine, theirs, done = chosen(CANDIDATE_WEIGHTS, i), chosen(RIVAL_WEIGHTS, i), ROWS.action[i]
            if mine != theirs:
                matched += ((mine == done) + (theirs == done)) / ROWS.propensity[i] / 2 - 1
                differing += 1
        values.append(matched / len(own))
        weights.append(differing / len(own))
    np.testing.assert_allclose(VALUES["support"].value, values)
    np.testing.assert_allclose(_weight(VALUES["support"]), weights)


@pytest.mark.parametrize(
    ("metric", "bar"),
    [("empathy_deficit", 0.25), ("false_intervention", 0.1), ("silence", 0.0), ("silence_logged", 0.0)],
)
def test_shares_are_over_the_candidates_interventions_and_centred_at_their_bars(metric: str, bar: float) -> None:
    values, weights = [], []
    for own in PEOPLE:
        bad = counted = 0.0
        for i in own:
            mine = chosen(CANDIDATE_WEIGHTS, i)
            weight = float(mine == ROWS.action[i] and mine != 0) / ROWS.propensity[i]
            label, rating = EVALUATION.harmful[i], EVALUATION.empathy[i]
            if metric == "silence_logged":
                weight = float(ROWS.action[i] != 0)
            of = {
                "empathy_deficit": (0.0 if math.isnan(rating) else 1 - rating, not math.isnan(rating)),
                "false_intervention": (float(label == 1), label >= 0),
            }.get(metric, (float(label < 0), True))
            bad, counted = bad + weight * of[0], counted + weight * of[1]
        values.append((bad - bar * counted) / len(own))
        weights.append(counted / len(own))
    assert any(weights)
    np.testing.assert_allclose(VALUES[metric].value, values, atol=1e-12)
    np.testing.assert_allclose(_weight(VALUES[metric]), weights)


def test_a_sub_heads_difference_is_over_the_rows_where_it_chose() -> None:
    tone, numbers = ROWS.subs["tone"], {}
    for i in range(len(ROWS.person)):
        if tone.action[i] < 0:
            numbers[i] = 0.0
            continue
        mine, done = chosen(np.array([[0.0, 0.0, 0.0], [0.1, 0.5, 0.0]]), i), int(tone.action[i])
        weight = ((mine == done) - (done == 0)) / tone.propensity[i]
        modelled = float((EFFECTS[mine] - EFFECTS[0]) @ phi_of(i))
        numbers[i] = modelled + weight * (residual_of(i) - float(EFFECTS[done] @ phi_of(i)))
    np.testing.assert_allclose(VALUES["improvement_tone"].value, [over_rewarded(own, numbers) for own in PEOPLE])
    assert list(person_values(SPEC, EVALUATION, replace(CANDIDATE, main=False))) == ["improvement_tone"]


@pytest.mark.parametrize(
    ("silence", "harmed", "counts"),
    [("unknown", [1, 0, 0], [1, 1, 0]), ("harmless", [1, 0, 0], [1, 1, 1]), ("harmful", [1, 0, 1], [1, 1, 1])],
)
def test_silence_is_left_out_good_or_harm_as_the_loop_says(silence: str, harmed: list[int], counts: list[int]) -> None:
    spec = replace(SPEC, reward=replace(SPEC.reward, silence=silence))  # type: ignore[arg-type]
    found = harm_and_answers(spec, np.array([1, 0, -1]))
    assert [part.astype(int).tolist() for part in found] == [harmed, counts]
    silent = {"silence", "silence_logged"} & set(measured_metrics(spec))
    assert bool(silent) is (silence == "unknown")


def test_metrics_follow_from_what_the_file_holds() -> None:
    assert measured_metrics(PLANTED) == ("improvement", "support", "stability")
    labelled = replace(PLANTED, imports=replace(PLANTED.imports, label="l"))
    assert measured_metrics(labelled) == (
        "improvement", "support", "false_intervention", "silence", "silence_logged", "stability",
    )  # fmt: skip
    assert "empathy_deficit" in measured_metrics(SPEC)


def test_public_clips_are_those_of_null_users_at_the_bars() -> None:
    """The same null users again: modelled reward and standard normal noise, harm at its bar, deficits uniform up to twice it."""
    logged = LoggingPolicy(1.0)
    rows = null_rows(SPEC, decisions=8, logged=logged)
    rng, n = np.random.default_rng(0), len(rows.state)
    phi = PHI.phi(rows.state)
    modelled = np.array([phi[i] @ REWARD[rows.action[i]] for i in range(n)])
    rows = replace(rows, reward=(modelled + rng.normal(size=n)) * 2.0)
    harmful = (rng.random(n) < 0.1).astype(np.int64)
    values = person_values(SPEC, EvaluationRows(rows, 1.0 - 0.5 * rng.random(n), harmful), CANDIDATE)
    candidate = replace(CANDIDATE, intervention_rate=0.3)
    found = evaluation_clips(SPEC, candidate, 8)
    rate = float((POLICY.actions(rows.state) != 0).mean())
    for metric, value in values.items():
        if value.weight is None:
            expected = ValueClips(1.75 * float(np.quantile(np.abs(value.value), 0.95)))
        else:
            rarer = 0.3 / rate if metric in ("empathy_deficit", "false_intervention", "silence") else 1.0
            assert 0.2 < 0.3 / rate < 1.0
            weight = rarer * float(np.quantile(value.weight, 0.95))
            cut = value.value / np.maximum(value.weight / weight, 1.0)
            expected = ValueClips(_value_clip(metric, cut, weight), weight)
        assert (found[metric].value, found[metric].weight) == pytest.approx((expected.value, expected.weight)), metric


def test_a_shares_clip_is_between_who_is_never_harmed_and_who_always_is() -> None:
    numbers = np.linspace(-1.0, 1.0, 201)  # .99 quantile .98, .95 quantile of the size .95
    assert _value_clip("support", numbers, 0.5) == pytest.approx(1.75 * 0.95)
    assert _value_clip("support", numbers, 9.0) == 9.0
    assert _value_clip("silence", numbers, 0.7) == 0.7
    assert _value_clip("false_intervention", numbers, 5.0) == pytest.approx(1.25 * 0.98)
    assert _value_clip("false_intervention", numbers, 20.0) == pytest.approx(2.0), "a tenth of the weight: never harmed"
    assert _value_clip("false_intervention", numbers, 1.0) == pytest.approx(0.9), "nine tenths of it: always harmed"
    assert _value_clip("empathy_deficit", numbers, 1.0) == pytest.approx(0.75)
    assert _value_clip("empathy_deficit", np.zeros(5), 1e-6) == pytest.approx(0.75e-6)


@pytest.mark.parametrize(("rate", "expected"), [(None, 1.0), (0.25, 0.5), (0.05, 0.2), (0.9, 1.0)])
def test_interventions_are_rarer_by_the_ratio_of_the_rates(rate: float | None, expected: float) -> None:
    states = np.array([[1.0, 0.0], [-1.0, 0.0]])
    half = LinearPolicy(PHI, np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-9.0, 0.0, 0.0]]), 0.0, 0)
    assert _rarer(replace(CANDIDATE, policy=half, intervention_rate=rate), states) == pytest.approx(expected)
    never = LinearPolicy(PHI, np.zeros((3, 3)), 0.0, 0)
    assert _rarer(replace(CANDIDATE, policy=never, intervention_rate=rate), states) == 1.0


def test_a_difference_is_signed_by_arm_and_in_units_of_its_reach() -> None:
    """Around .2 a person may lie .8 away: x = .6 is half of that, and what is no share is held to one."""
    rows = difference_rows(np.array([True, False, True, False]), np.array([0.6, 0.6, 1.7, -0.3]), 0.2)
    np.testing.assert_allclose(rows, [[0.5, 0.6, 1], [-0.5, 0.6, 1], [1.0, 1.0, 1], [0.25, 0.0, 1]])
    stored = release_difference("reports", np.array([True]), np.array([0.6]), centre=0.2, sigma=3.0, rho_share=0.25)
    _, sd, centre = read_difference(stored, "reports")
    step = 6.0 * math.sqrt(1.13)
    assert sd == pytest.approx({"difference": step * 1.6, "total": step / 0.3, "people": step / 0.2}) and centre == 0.2
    assert float(stored["reports_rho"][0]) == pytest.approx(0.25 / 18)
    exact = release_difference("reports", np.array([True]), np.array([0.6]), centre=0.2, sigma=None, rho_share=0.25)
    value, _, _ = read_difference(exact, "reports")
    assert value == pytest.approx({"difference": 2 * 0.4, "total": 0.6, "people": 1.0}, abs=1e-4)


def trial_rows() -> TrialRows:
    """Three people: five decisions in the candidate's arm, two in the reference's, one without a reward in the candidate's."""
    nan = math.nan
    return TrialRows(
        person=np.array([0, 0, 0, 0, 0, 1, 1, 2]),
        candidate=np.array([True, False, True]),
        missed=np.array([0.2, 0.4, 1.0]),
        unreported=np.array([0.1, 0.3, 0.5]),
        before=np.array([1.0, -2.0, 0.0]),
        before_count=np.array([4, 36, 0]),
        reward=np.array([2.0, 4.0, nan, 0.0, 2.0, -1.0, 3.0, nan]),
        intervened=np.array([True, True, True, False, True, True, False, True]),
        empathy=np.array([0.9, nan, 0.4, 0.1, 1.5, 0.2, nan, 0.5]),
        harmful=np.array([1, 0, -1, 1, 0, 1, 1, -1]),
    )


TRIAL = trial_rows()


def test_a_trials_people_and_their_rewards() -> None:
    assert TRIAL.users == 3 and TRIAL.rewarded.tolist() == [True, True, False]
    np.testing.assert_allclose(mean_rewards(SPEC, TRIAL), [1.0, 0.5, 0.0])
    # Less b (x - m) with b = k / (k + 12): 4 of 16, 36 of 48, none.
    expected = [(1.0 - 0.1) - 0.25 * (0.5 - 0.1), (0.5 - 0.1) - 0.75 * (-1.0 - 0.1), 0.0 - 0.1]
    np.testing.assert_allclose(adjusted_rewards(SPEC, TRIAL, 0.1), expected)


def test_guardrails_are_over_the_candidates_interventions() -> None:
    """The first person intervened four times in five decisions; the third has one of at least half of the usual four."""
    found = guardrail_values(SPEC, TRIAL, 4.0)
    expected = {
        "false_intervention": ([(1 - 0.1 * 3) / 5, 0.0, 0.0], [3 / 5, 0.0, 0.0]),
        "silence": ([1 / 5, 0.0, 1 / 2], [4 / 5, 0.0, 1 / 2]),
        "empathy_deficit": ([(0.1 + 0.6 + 0.0 - 0.25 * 3) / 5, 0.0, (0.5 - 0.25) / 2], [3 / 5, 0.0, 1 / 2]),
    }
    assert set(found) == set(expected)
    for metric, (value, weight) in expected.items():
        np.testing.assert_allclose(found[metric].value, value, atol=1e-12, err_msg=metric)
        np.testing.assert_allclose(_weight(found[metric]), weight, err_msg=metric)
    alone = guardrail_values(SPEC, TRIAL, 0.5)["silence"]
    np.testing.assert_allclose(alone.value, [1 / 5, 0.0, 1.0], err_msg="a person has at least one decision")


@pytest.mark.parametrize("decisions", [5, 40])
def test_a_guardrails_clip_is_a_quantile_of_people_at_its_bar(decisions: int) -> None:
    """Weight: 1.1 times the rate under the candidate and exploration, at least .1."""
    found = guardrail_clips(SPEC, intervention_rate=0.6, exploration=0.1, decisions=decisions + 0.2)
    rate = 0.9 * 0.6 + 0.1 * 0.5
    weight = 1.1 * rate
    rng = np.random.default_rng(0)
    seen = rng.binomial(decisions, rate, 20_000)
    harmed = (rng.binomial(seen, 0.1) - 0.1 * seen) / decisions
    rng = np.random.default_rng(0)
    seen = rng.binomial(decisions, rate, 20_000)
    deficit = rng.normal(size=20_000) * 0.25 * np.sqrt(seen / 3.0) / decisions
    for metric, bar, excess in (("false_intervention", 0.1, harmed), ("empathy_deficit", 0.25, deficit)):
        usual = 1.25 * float(np.quantile(excess, 0.99))
        expected = min(max(usual, bar * weight), (1 - bar) * weight)
        assert (found[metric].value, found[metric].weight) == pytest.approx((expected, weight)), metric
    assert found["silence"].value == found["silence"].weight == pytest.approx(weight)


def test_a_policy_that_hardly_intervenes_has_the_clips_of_one_in_ten() -> None:
    found = guardrail_clips(SPEC, intervention_rate=0.0, exploration=0.1, decisions=20)
    assert found["silence"].weight == pytest.approx(0.11)
    assert _trial_clip("false_intervention", 0.1, 1e-3, 1) == pytest.approx(0.9e-3)


def test_levels_are_bounded_and_apart_by_past() -> None:
    found = level_rows(np.array([0.4, -3.0, 2.0]), np.array([True, False, True]))
    np.testing.assert_allclose(found, [[0.4, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0], [1.0, 1.0, 0.0, 0.0]])


def test_a_level_is_drawn_to_0_by_its_noise() -> None:
    """sum x n / (n^2 + sd^2): exact without noise, half where noise is as large as the number of people."""
    block = _Block(np.array([6.0, 10.0, 30.0, 20.0]), np.array([0.0, 1.0, 20.0, 1.0]), 0.1)
    assert _level(block, 0) == pytest.approx(0.6) and _level(block, 2) == pytest.approx(0.75)
    assert _level(_Block(np.array([60.0, 10.0]), np.zeros(2), 0.1), 0) == 1.0
    assert _level(_Block(np.array([-60.0, 10.0]), np.zeros(2), 0.1), 0) == -1.0
    for people in (0.0, -3.0):
        assert _level(_Block(np.array([6.0, people]), np.zeros(2), 0.1), 0) == 0.0
    assert _level(_Block(np.array([0.3, 0.5]), np.zeros(2), 0.1), 0) == pytest.approx(0.6)


def test_spread_counts_people_beyond_either_clip_whatever_their_side() -> None:
    found = spread_rows(
        np.array([0.6, -0.61, 1.25, -1.3]), np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.5, 0.6, 0.7, 0.8])
    )
    np.testing.assert_allclose(
        found, [[0, 1, 0.1, 0.5, 0], [1, 1, 0.2, 0.6, 0], [1, 1, 0.3, 0.7, 0], [1, 1, 0.4, 0.8, 1]]
    )


@pytest.mark.parametrize(
    ("beyond", "people", "far", "sd", "clip"),
    [
        (4.0, 100.0, 0.0, 0.0, 0.6),
        (4.1, 100.0, 4.0, 0.0, 1.25),
        (4.1, 100.0, 4.1, 0.0, 2.5),
        (9.0, 100.0, 9.0, 4.5, 1.25),
        (9.0, 100.0, 9.1, 4.5, 2.5),
        (0.0, -5.0, 0.0, 0.0, 0.6),
        (0.1, -5.0, 0.0, 0.0, 1.25),
    ],
)
def test_the_clip_widens_with_who_is_beyond_it(
    beyond: float, people: float, far: float, sd: float, clip: float
) -> None:
    block = _Block(np.array([beyond, people, 50.0, 60.0, far]), np.array([9.0, 9.0, 9.0, 9.0, sd]), 0.1)
    assert _chosen_clip(block) == clip


def test_improvement_rows_hold_each_person_in_one_place() -> None:
    signs, apart = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]), np.array([0.3, 0.3, -0.7, -0.7, 0.1, 0.1])
    low = np.array([False, False, True, False, True, True])
    np.testing.assert_allclose(
        improvement_rows(signs, apart, 0.6, low),
        [
            [0.5, 0.25, 0.0, 0.0, 1.0, 1.0],
            [-0.5, 0.25, 0.0, 0.0, 1.0, -1.0],
            [0.0, 0.0, 1.0, 0.0, 1.0, 1.0],
            [0.0, 0.0, 0.0, 1.0, 1.0, -1.0],
            [0.0, 0.0, 1.0, 0.0, 1.0, 1.0],
            [0.0, 0.0, -1.0, 0.0, 1.0, -1.0],
        ],
    )


def _trial(spec: LoopSpec, rows: TrialRows, sigma: float | None, centre: float = 0.1) -> dict[str, Floats]:
    found = guardrail_clips(spec, intervention_rate=0.6, exploration=0.1, decisions=4)
    return release_trial(spec, rows, centre=centre, decisions=4, clips=found, sigma=sigma)


def test_a_trials_blocks_share_one_budget() -> None:
    """Shares sum to 1 with all guardrails; without empathy and labels the rest divide the release among them."""
    stored, whole = _trial(SPEC, TRIAL, 3.0), 1 / 18
    for block, share in on_policy.TRIAL_SHARES.items():
        assert float(stored[f"{block}_rho"][0]) == pytest.approx(whole * share), block
    plain = _trial(PLANTED, TRIAL, 3.0)
    assert float(plain["improvement_rho"][0]) == pytest.approx(whole * 0.47 / 0.66)
    assert float(plain["reports_rho"][0]) == pytest.approx(whole * 0.04 / 0.66)


def test_a_trials_sums_are_in_reward_scales() -> None:
    """Centres are the lone levels with and without a past; the narrow clip holds who is at them."""
    people = 60
    rng = np.random.default_rng(3)
    reward = rng.uniform(-0.4, 0.4, people) * 2.0
    reward[0] = -3.0 * 2.0  # very low, in the candidate's arm
    candidate = np.arange(people) % 2 == 0
    missed, unreported = rng.random(people), rng.random(people)
    past = np.arange(people) % 3 == 0
    rows = TrialRows(
        np.arange(people), candidate, missed, unreported, np.where(past, 0.2, 0.0), np.where(past, 12, 0), reward,
        np.ones(people, bool), np.full(people, np.nan), np.full(people, -1),
    )  # fmt: skip
    stored = _trial(SPEC, rows, None)
    adjusted = reward / 2 - 0.1 - 0.5 * past * (0.1 - 0.1)
    level = np.clip(adjusted, -1, 1)
    centres = np.where(past, level[past].mean(), level[~past].mean())
    np.testing.assert_allclose(
        stored["level"], [level[past].sum(), past.sum(), level[~past].sum(), (~past).sum()], atol=1e-3
    )
    apart = adjusted - centres
    assert stored["improvement_clip"].tolist() == [0.6] and stored["centre"].tolist() == [0.1]
    inside = np.abs(apart) <= 0.6
    v = np.where(candidate, 2.0, -2.0) * apart
    expected = [v[inside].sum(), (v[inside] ** 2).sum(), 1.0, 0.0, people, 0.0]
    np.testing.assert_allclose(stored["improvement"], expected, atol=2e-3)
    np.testing.assert_allclose(stored["spread"], [1.0, people, missed.sum(), unreported.sum(), 1.0], atol=1e-3)
    for name, lost in (("retention", missed), ("reports", unreported)):
        assert float(stored[f"{name}_centre"][0]) == pytest.approx(lost.mean(), abs=1e-3)
        difference = 2 * np.where(candidate, 1, -1) @ (lost - lost.mean())
        assert float(stored[name][0]) == pytest.approx(difference, abs=2e-2)
    noised = _trial(SPEC, rows, 3.0)
    step = 3.0 / math.sqrt(0.47) * on_policy.IMPROVEMENT_CLIP
    unit = 2 * float(noised["improvement_clip"][0])
    np.testing.assert_allclose(
        noised["improvement_sd"], [step * unit, step * unit**2 / 0.3, step, step, step / 0.2, step / 0.25]
    )


def test_who_lost_badly_lies_more_than_two_and_a_half_scales_below_the_usual() -> None:
    """With a past that foretells it, so that the adjusted number is inside the clip."""
    low = [-2.39 * 2.0, -2.41 * 2.0]
    rows = TrialRows(
        np.arange(2), np.array([True, True]), np.zeros(2), np.zeros(2), np.array(low), np.full(2, 10**9), np.array(low),
        np.ones(2, bool), np.full(2, np.nan), np.full(2, -1),
    )  # fmt: skip
    against = dict(zip(on_policy.IMPROVEMENT_COLUMNS, _trial(SPEC, rows, None)["improvement"].tolist(), strict=True))
    assert against["against"] == pytest.approx(1.0, abs=1e-4)
