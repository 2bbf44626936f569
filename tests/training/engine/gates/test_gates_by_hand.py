"""The gates' bars, levels and bounds, each number from its formula."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from types import ModuleType
from typing import cast

import numpy as np
import pytest

from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from loops.engine.thresholds import SILENT_HARM_RATIO, smallest_effect
from privacy.engine.evaluation.centred_sums import CentredSums, read_centred
from privacy.engine.evaluation.on_policy import IMPROVEMENT_CLIP, TRIAL_SHARES
from privacy.engine.moments.clipping import public_facts
from privacy.engine.moments.effect_posterior import GibbsSchedule, NoisyMoments, released_posterior
from privacy.engine.moments.gram_matrix import estimate_gram
from privacy.engine.moments.null_population import null_rows
from privacy.engine.moments.release_layout import ReleaseLayout
from tests.factories.planted import planted_spec
from training.engine.gates import (
    decision_rule,
    model_gate,
    optimism,
    resemblance,
    share_gates,
    trial,
    trial_guardrails,
    trial_losses,
)
from training.engine.gates.decision_rule import attempt_alpha, equivalence, futility_bound, verdict
from training.engine.gates.gate_terms import GateTerms
from training.engine.gates.judgements import GateResult, Judgement, combine_verdicts, judgement_of
from training.engine.gates.model_gate import ModelGate, RandomPolicy, people_needed
from training.engine.gates.outcome_gate import outcome_gate, sub_gate
from training.engine.gates.resemblance import agreement
from training.engine.gates.share_gates import judge_empathy, judge_false_intervention, judge_silence, judge_support
from training.engine.gates.trial_guardrails import guardrail_judgements, joined_sums
from training.engine.gates.trial_losses import (
    judge_retention,
    name_unreported,
    price_of_leaving,
    price_of_missing_rewards,
)
from training.engine.intervals.centred import mean_interval, people_needed_for, share_interval
from training.engine.intervals.clustered import Interval

# The error rates of the gates were calibrated with these; a change needs the calibrations measured again.
CONSTANTS: list[tuple[ModuleType, str, object]] = [
    (decision_rule, "FALSE_PASS_ALPHA", 0.05),
    (decision_rule, "FUTILITY_SHARE", 0.02),
    (model_gate, "WORLDS", 32),
    (model_gate, "PEOPLE_A_WORLD", 100),
    (model_gate, "_LEAST_Z", 0.1),
    (optimism, "_POPULATIONS", 60),
    (optimism, "_STATES", 4_000),
    (optimism, "_SEED", 20_250_102),
    (optimism, "_PEOPLE_STEPS", 2.0),
    (optimism, "_SCHEDULE", GibbsSchedule(burn_in=30, draws=15, thin=2)),
    (resemblance, "ACTS_ALIKE", 0.8),
    (share_gates, "SUPPORT_OFF", 0.1),
    (share_gates, "SUPPORT_LEAST", 0.5),
    (share_gates, "_MORE_SILENT", 0.02),
    (trial_guardrails, "_COUNT_Z", 2.0),
    (trial_guardrails, "SQUARE_MARGIN", 0.5),
    (trial_guardrails, "_LEAST_SD", 1.0),
    (trial_guardrails, "_JOINED_SD", 3.0),
    (trial_guardrails, "_CANDIDATES", 0.5),
    (trial_losses, "MOST_LOST", 0.15),
    (trial_losses, "UNREPORTED_LOSS", 1.0),
    (trial_losses, "UNREPORTED_SHOWN", 0.05),
    (trial_losses, "_HORIZON", 1.5),
    (trial_losses, "_LEAVING_Z", 0.5),
    (trial_losses, "_MISSING_Z", 1.645),
    (trial_losses, "_SQUARE_SD", 0.5),
    (trial_losses, "_PEOPLE_SD", 2.0),
    (trial, "TRIAL_LOOKS", 3),
    (trial, "TRIAL_BP", 5_000),
    (trial, "LEAST_Z", 0.1),
    (trial, "HIDDEN_SHARE", 0.002),
    (trial, "HIDDEN_LOSS", 3.0),
    (trial, "_COUNT_Z", 2.0),
    (trial, "ENTRY_Z", 2.326),
    (trial, "_USERS_SD", 2.0),
    (trial, "_MISMATCH_PRIOR", 100.0),
    (trial, "_MISMATCH_BAR", math.log(1_000)),
]


@pytest.mark.parametrize(
    ("module", "name", "value"), [pytest.param(*c, id=f"{c[0].__name__}.{c[1]}") for c in CONSTANTS]
)
def test_a_constant_has_the_value_that_the_gates_were_calibrated_with(
    module: ModuleType, name: str, value: object
) -> None:
    assert getattr(module, name) == value


PLANTED = planted_spec()
SPEC = replace(
    PLANTED,
    reward=replace(PLANTED.reward, scale=2.0),
    imports=replace(PLANTED.imports, label="l", reward={"total": "r", "empathy": "e"}),
)
TERMS = GateTerms(SPEC, 0.5, attempt=2, heads=2, conceded=0.03, allowance=(0.01, 0.02))
Stored = dict[str, np.ndarray]


def block(metric: str, kind: str, **other: float) -> Stored:
    n = {
        "value": 30.0, "square": 40.0, "below": 0.0, "above": 0.0, "people": 400.0, "weight": 250.0, "sd_value": 2.0,
        "sd_square": 3.0, "sd_beyond": 1.0, "sd_people": 5.0, "sd_weight": 6.0,
    } | other  # fmt: skip
    return {
        metric: np.array([n[k] for k in ("value", "square", "below", "above", "people", "weight")]),
        f"{metric}_sd": np.array([n[k] for k in ("sd_value", "sd_square", "sd_beyond", "sd_beyond", "sd_people", "sd_weight")]),
        f"{metric}_clips": np.array([n.get("clip", 0.5), n.get("weight_clip", 0.8)]),
        f"{metric}_share": np.array([float(kind == "share")]),
    }  # fmt: skip


def interval(low: float, high: float, **other: object) -> Interval:
    known = {"se": (high - low) / 3.29, "dof": 60.0, "ess": 400.0, "users": 120.0, "level": 0.9} | other
    return Interval((low + high) / 2, low, high, **known)  # type: ignore[arg-type]


# The rule of decisions


@pytest.mark.parametrize(("k", "candidates"), [(0, 1), (1, 0), (-1, 1)])
def test_attempts_and_candidates_are_counted_from_one(k: int, candidates: int) -> None:
    with pytest.raises(ValueError, match="start at 1"):
        attempt_alpha(k, candidates)
    assert attempt_alpha(1, 1) == attempt_alpha(1) == pytest.approx(0.3 / math.pi**2)
    assert attempt_alpha(3, 2) == pytest.approx(0.3 / math.pi**2 / 9 / 2)


def test_futility_is_two_percent_of_the_reference_whatever_its_sign() -> None:
    assert futility_bound(-3.0) == futility_bound(3.0) == pytest.approx(0.06)
    at = interval(-0.05, 0.06)
    assert verdict(at, 0.0, "above", futility=0.06).answer == "fail"
    assert verdict(at, 0.0, "above", futility=0.0599).answer == "insufficient"


@pytest.mark.parametrize(
    ("low", "high", "direction", "answer"),
    [
        (-0.1, 0.3, "at_least", "insufficient"),
        (-0.3, 0.0, "at_least", "insufficient"),  # the bar itself is not excluded
        (0.0, 0.3, "at_most", "insufficient"),
        (0.1, 0.3, "at_most", "fail"),
        (-0.3, -0.1, "at_least", "fail"),
    ],
)
def test_a_bar_is_excluded_by_estimate_and_interval_alike(low: float, high: float, direction: str, answer: str) -> None:
    assert verdict(interval(low, high), 0.0, direction).answer == answer  # type: ignore[arg-type]


@pytest.mark.parametrize(("direction", "low", "high"), [("above", -0.5, -0.1), ("at_most", 0.1, 0.5)])
def test_an_estimate_on_the_right_side_does_not_fail(direction: str, low: float, high: float) -> None:
    """As where people beyond the clip move the interval away from the estimate."""
    odd = replace(interval(low, high), estimate=0.0)
    assert verdict(interval(-1, 1), 0.0, direction, fail_interval=odd).answer == "insufficient"  # type: ignore[arg-type]


def test_people_needed_that_are_there_already_are_not_named() -> None:
    wide = interval(-0.1, 0.2)
    assert verdict(wide, 0.0, "above", needed=121.0).users_needed == 121.0
    assert verdict(wide, 0.0, "above", needed=120.0).users_needed is None
    assert equivalence(wide, 0.15, needed=121.0).users_needed == 121.0
    assert equivalence(wide, 0.15, needed=120.0).users_needed is None
    assert equivalence(wide, 0.15).users_needed is None


def test_a_bound_is_named_with_its_own_level() -> None:
    two, one = interval(-0.1, 0.2), replace(interval(-0.1, 0.2), level=0.95, tails="lower")
    for found in (two, one):
        reason = verdict(found, 0.0, "above", name="the gain").reason
        assert reason == "the gain is 0.05 with a 95% lower bound of -0.1, which does not clear the bar of 0."
    assert "a 95% upper bound of 0.2" in verdict(two, 0.0, "at_most").reason
    assert (
        verdict(two, 0.0, "above", min_effect=0.01).users_needed
        == verdict(one, 0.0, "above", min_effect=0.01).users_needed
    )


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [(-0.05, 0.0, "insufficient"), (0.0, 0.05, "insufficient"), (0.05, 0.1, "fail"), (-0.1, -0.05, "fail")],
)
def test_equivalence_at_the_very_margin(low: float, high: float, answer: str) -> None:
    assert equivalence(interval(low, high), 0.05).answer == answer


def test_equivalence_needs_a_margin_and_the_90_percent_interval() -> None:
    for margin in (0.0, -1.0):
        with pytest.raises(ValueError, match="margin"):
            equivalence(interval(-0.1, 0.1), margin)
    with pytest.raises(ValueError, match="90%"):
        equivalence(replace(interval(-0.1, 0.1), tails="lower"), 0.5)


# Terms and judgements


def test_terms_are_in_reward_scales_and_reasons_in_the_loops_units() -> None:
    """Attempt 2 of two heads has .05 x 6 / pi^2 / 4 / 2 in each tail."""
    assert TERMS.level == pytest.approx(1 - 2 * 0.3 / math.pi**2 / 8)
    assert TERMS.effect == smallest_effect(SPEC)
    assert TERMS.margin == pytest.approx(smallest_effect(SPEC) - 0.03)
    assert replace(TERMS, conceded=9.0).margin == 0.0
    assert TERMS.in_units(0.25) == 0.5
    assert TERMS.stability_margin == pytest.approx(0.5), "half of the scale, where none is declared"
    assert TERMS.reach * 2.0 == pytest.approx(GateTerms(SPEC, 0.5).reach * 2.0) and TERMS.reach >= 20
    assert replace(TERMS, spec=replace(SPEC, reward=replace(SPEC.reward, limit=30.0))).reach == 15.0
    assert GateTerms(SPEC, 0.5) == GateTerms(SPEC, 0.5, 1, False, 1, 0.0, (0.0, 0.0))


def judged(name: str, answer: str, needed: float | None = None, **other: float) -> Judgement:
    known = {"value": 0.1, "low": -0.1, "high": 0.3, "bar": 0.0, "users": 100.0} | other
    return Judgement(name=name, verdict=answer, reason=f"{name} says {answer}.", needed_users=needed, **known)  # type: ignore[arg-type]


def test_the_worst_verdict_wins_and_the_largest_number_of_people_is_named() -> None:
    ok, few, more = judged("a", "pass"), judged("b", "insufficient", 300.0), judged("c", "insufficient", 900.0)
    bad = judged("d", "fail", 50.0)
    assert combine_verdicts([ok]).verdict == "pass" and combine_verdicts([]).verdict == "pass"
    undecided = combine_verdicts([ok, few, judged("e", "insufficient"), more])
    assert (undecided.verdict, undecided.needed_users) == ("insufficient", 900.0)
    assert undecided.reason == "b says insufficient. e says insufficient. c says insufficient."
    failed = combine_verdicts([ok, few, bad])
    assert (failed.verdict, failed.reason, failed.needed_users) == ("fail", "d says fail.", None)
    assert combine_verdicts([judged("e", "insufficient")]).needed_users is None


def test_no_estimate_counts_where_the_log_lacks_support() -> None:
    support = judged("support", "insufficient", 70.0)
    found = combine_verdicts([judged("a", "fail"), support, judged("b", "insufficient", 900.0)])
    assert (found.verdict, found.reason, found.needed_users) == ("insufficient", "support says insufficient.", 70.0)
    assert combine_verdicts([judged("a", "fail"), judged("support", "pass")]).verdict == "fail"


def test_a_judgement_begins_with_a_capital() -> None:
    found = judgement_of(
        "gain", interval(-0.1, 0.3), 0.5, decision_rule.Verdict("insufficient", "the gain is open.", 7.0)
    )
    assert found == Judgement("gain", found.value, -0.1, 0.3, 0.5, 120.0, "insufficient", "The gain is open.", 7.0)
    assert found.value == pytest.approx(0.1)


# Model gate, resemblance


def test_z_is_the_mean_gain_over_its_sd_across_worlds() -> None:
    gate = ModelGate(np.array([1.0, 2.0, 4.0]), np.array([0.5, 1.0, 1.5]), np.array([0.1, 0.2, 0.3]))
    gain = np.array([0.5, 1.0, 2.5])
    assert gate.z == pytest.approx(gain.mean() / np.sqrt(((gain - gain.mean()) ** 2).sum() / 2))
    assert gate.episodes() == [(1.0, 0.5, 0.1), (2.0, 1.0, 0.2), (4.0, 1.5, 0.3)]
    assert ModelGate(np.ones(3), np.zeros(3), np.ones(3)).z == 0.0, (
        "gains that are all equal say nothing of their spread"
    )


@pytest.mark.parametrize(("z", "needed"), [(0.65, 400.0), (1.3, 100.0), (2.6, 100.0), (0.1, 16_900.0), (0.0999, None)])
def test_people_for_a_z_grow_with_the_square_of_what_is_missing(z: float, needed: float | None) -> None:
    assert people_needed(z, 1.3, 100.0) == (None if needed is None else pytest.approx(needed, abs=1.0))
    assert people_needed(1.0, 1.3, 10.0) == 17.0, "rounded up"


def test_a_random_policy_draws_as_it_logs() -> None:
    policy = RandomPolicy(np.array([0.7, 0.3]), 0, np.random.default_rng(0))
    assert policy.actions(np.zeros((4_000, 2))).mean() == pytest.approx(0.3, abs=0.03)


def test_policies_agree_by_what_they_do_where_either_intervenes() -> None:
    phi = FeatureMap.of(SPEC, False)

    def speaks_above(mood: float) -> LinearPolicy:
        return LinearPolicy(phi, np.array([[0.0, 0.0, 0.0], [-mood, 1.0, 0.0]]), 0.0, 0)

    states = np.column_stack([np.array([-0.9, -0.5, 0.1, 0.3, 0.5, 0.9]), np.full(6, 0.5)])
    assert agreement(speaks_above(0.0), speaks_above(0.4), states) == 0.5
    assert agreement(speaks_above(0.4), speaks_above(0.0), states) == 0.5
    assert agreement(speaks_above(2.0), speaks_above(3.0), states) == 1.0


# Outcome gate


@pytest.mark.parametrize("incumbent", [False, True])
def test_the_improvements_interval_is_in_units_and_less_the_allowance(incumbent: bool) -> None:
    stored = {**block("improvement", "mean", below=3.0), **_passing_shares()}
    terms = replace(TERMS, incumbent=incumbent)
    found = {j.name: j for j in outcome_gate(terms, stored).judgements}["improvement"]
    sums = read_centred(stored, "improvement")
    expected = mean_interval(sums, level=terms.level, reach=terms.reach, shift=0.01, shift_sd=0.02)
    assert (found.value, found.low, found.high) == pytest.approx(
        tuple(2 * x for x in (expected.estimate, expected.low, expected.high))
    )
    assert found.bar == pytest.approx(-2 * terms.margin if incumbent else 0.0)


def _passing_shares() -> Stored:
    out: Stored = {}
    for metric in ("support", "empathy_deficit", "false_intervention", "silence", "silence_logged"):
        out |= block(metric, "share", value=0.0 if "s" in metric[:1] else -20.0, square=0.5, sd_value=0.5)
    return out | block("stability", "mean", value=0.0, square=1.0)


def test_an_undecided_improvement_needs_the_people_that_its_smallest_effect_takes() -> None:
    stored = {**block("improvement", "mean", value=20.0, square=400.0), **_passing_shares()}
    found = {j.name: j for j in outcome_gate(TERMS, stored).judgements}["improvement"]
    assert found.verdict == "insufficient"
    needed = people_needed_for(
        read_centred(stored, "improvement"), smallest_effect(SPEC), level=(1 + TERMS.level) / 2, shift_sd=0.02
    )
    assert found.needed_users == needed > 400


def test_an_improvement_may_fail_at_five_percent_although_it_passes_at_less() -> None:
    """A loss of .0275 scales: the 90% interval excludes 0, and the one of the second attempt does not."""
    stored = {**block("improvement", "mean", value=-11.0, square=20.0, sd_beyond=0.0), **_passing_shares()}
    terms = replace(TERMS, allowance=(0.0, 0.0))
    sums = read_centred(stored, "improvement")
    assert mean_interval(sums, level=0.9).high < 0 < mean_interval(sums, level=terms.level).high
    assert {j.name: j.verdict for j in outcome_gate(terms, stored).judgements}["improvement"] == "fail"


@pytest.mark.parametrize(
    ("value", "answer", "words"), [(3.0, "pass", "clears"), (-1.0, "insufficient", "seems no better")]
)
def test_over_an_incumbent_a_candidate_must_seem_better_and_be_proven_not_worse(
    value: float, answer: str, words: str
) -> None:
    stored = block(
        "improvement_tone", "mean", value=value, square=0.2, sd_value=0.3, sd_square=0.1, sd_beyond=0.0, people=4000.0
    )
    terms = replace(TERMS, allowance=(0.0, 0.0))
    (found,) = sub_gate(terms, stored, "tone").judgements
    assert found.name == "improvement_tone" and found.verdict == answer and words in found.reason
    assert found.bar == pytest.approx(-2 * (smallest_effect(SPEC) - 0.03))
    assert found.needed_users is None, "as many people as it takes are there"


def test_drift_is_judged_by_the_90_percent_interval_and_its_own_margin() -> None:
    stored = {**block("improvement", "mean"), **_passing_shares()} | block(
        "stability", "mean", value=190.0, square=200.0
    )
    found = {j.name: j for j in outcome_gate(TERMS, stored).judgements}["stability"]
    expected = mean_interval(read_centred(stored, "stability"), level=0.9)
    assert (found.value, found.low, found.high) == pytest.approx(
        tuple(2 * x for x in (expected.estimate, expected.low, expected.high))
    )
    assert found.bar == pytest.approx(1.0) and found.verdict == "insufficient"
    sums = read_centred(stored, "stability")
    needed = people_needed_for(sums, 0.5, level=0.95)
    assert found.needed_users == (needed if needed > 400 else None)


def test_latency_is_one_more_metric_where_it_was_measured() -> None:
    stored = {**block("improvement", "mean"), **_passing_shares()}
    slow = judged("latency", "fail")
    assert outcome_gate(TERMS, stored).judgements == outcome_gate(TERMS, stored, slow).judgements[:-1]
    assert outcome_gate(TERMS, stored, slow).judgements[-1] is slow


# Shares


@pytest.mark.parametrize(
    ("value", "sd", "answer", "words"),
    [
        (0.0, 0.5, "pass", "is 1.00 of what the log declares"),
        (20.0, 0.5, "pass", "is 1.08"),  # 8% more often than declared, not proven to be more than a tenth
        (60.0, 0.5, "insufficient", "The logged propensities are wrong"),
        (-60.0, 0.5, "insufficient", "hardly tried"),
        (0.0, 90.0, "insufficient", "hardly tried"),  # an interval below half of the weight
    ],
)
def test_support_is_one_where_the_log_did_what_it_declares(value: float, sd: float, answer: str, words: str) -> None:
    found = judge_support(TERMS, block("support", "share", value=value, square=1.0, sd_value=sd))
    assert found.verdict == answer and words in found.reason and found.bar == 0.5
    assert found.value == pytest.approx(1 + value / 250)
    assert found.low < found.value < found.high


def test_support_that_is_proven_off_by_a_tenth_is_off() -> None:
    """The noise is nothing here: 1.1 itself is not above it, 1.101 is."""
    exact = {"square": 0.0, "sd_value": 0.0, "sd_square": 0.0, "sd_beyond": 0.0, "sd_people": 0.0, "sd_weight": 0.0}
    for value, answer in ((24.9, "pass"), (25.3, "insufficient"), (-24.9, "pass"), (-25.3, "insufficient")):
        assert judge_support(TERMS, block("support", "share", value=value, people=4000.0, **exact)).verdict == answer


def test_support_without_a_known_weight_says_so() -> None:
    found = judge_support(TERMS, block("support", "share", weight=10.0))
    assert found.verdict == "insufficient" and "Too few logged decisions differ" in found.reason


def test_empathy_is_one_less_the_deficit() -> None:
    stored = block("empathy_deficit", "share", value=-5.0, square=4.0)
    found, sums = judge_empathy(TERMS, stored), read_centred(stored, "empathy_deficit")
    deficit = share_interval(sums, 0.25, level=TERMS.level)
    assert (found.value, found.low, found.high) == pytest.approx(
        (1 - deficit.estimate, 1 - deficit.high, 1 - deficit.low)
    )
    assert found.name == "empathy" and found.bar == 0.75
    needed = people_needed_for(sums, 5.0 / 250, level=(1 + TERMS.level) / 2, power=0.5)
    assert found.verdict == "insufficient" and found.needed_users == (needed if needed > 400 else None)


@pytest.mark.parametrize("silent", [0.0, 0.4])
def test_silence_lowers_the_bar_and_widens_the_interval(silent: float) -> None:
    """Those who do not answer are taken to be harmed three times as often: of s silent, the bar is .1 / (1 + 2 s)."""
    ratio = SILENT_HARM_RATIO
    stored = block("false_intervention", "share", value=-8.0, square=2.0) | block(
        "silence", "share", value=250 * silent, square=1.0
    )
    found = judge_false_intervention(TERMS, stored)
    quiet = share_interval(read_centred(stored, "silence"), 0.0, score=False)
    more = 1 + (ratio - 1) * quiet.estimate
    assert found.bar == pytest.approx(0.1 / more)
    plain = share_interval(read_centred(stored, "false_intervention"), 0.1, level=TERMS.level)
    z = NormalDist().inv_cdf((1 + TERMS.level) / 2)
    further = z * (ratio - 1) * quiet.se / more * plain.estimate
    assert found.low == pytest.approx(max(plain.estimate - math.hypot(plain.estimate - plain.low, further), 0.0))
    assert found.high == pytest.approx(min(plain.estimate + math.hypot(plain.high - plain.estimate, further), 1.0))


def test_where_silence_is_declared_or_unknown_the_bar_is_the_highest_or_the_lowest() -> None:
    stored = block("false_intervention", "share", value=-8.0)
    declared = replace(TERMS, spec=replace(SPEC, reward=replace(SPEC.reward, silence="harmless")))
    assert judge_false_intervention(declared, stored).bar == 0.1
    nothing = stored | block("silence", "share", weight=1.0)
    assert judge_false_intervention(TERMS, nothing).bar == pytest.approx(0.1 / SILENT_HARM_RATIO)


def test_a_share_between_both_bars_is_left_open_for_want_of_answers() -> None:
    """Beyond the lowered bar, but not beyond the bar itself: the answers cannot tell. Beyond both it fails."""
    exact = {"square": 0.5, "sd_value": 0.5, "sd_square": 0.1, "sd_beyond": 0.01, "people": 4000.0}
    silence = block("silence", "share", value=200.0, square=1.0, sd_value=0.5)
    open_one = judge_false_intervention(TERMS, block("false_intervention", "share", value=-5.0, **exact) | silence)
    assert (
        open_one.verdict == "insufficient"
        and "not answered to tell" in open_one.reason
        and open_one.needed_users is None
    )
    assert (
        judge_false_intervention(TERMS, block("false_intervention", "share", value=30.0, **exact) | silence).verdict
        == "fail"
    )


@pytest.mark.parametrize(
    ("ours", "logged", "answer", "bar"), [(50.0, 45.5, "pass", 0.202), (51.0, 45.5, "insufficient", 0.202)]
)
def test_more_silence_than_the_log_had_is_named_from_two_points_on(
    ours: float, logged: float, answer: str, bar: float
) -> None:
    exact = {"square": 1e-4, "sd_value": 0.01, "sd_square": 1e-4, "sd_beyond": 0.0, "people": 4000.0, "sd_weight": 0.0}
    stored = block("silence", "share", value=ours, **exact) | block("silence_logged", "share", value=logged, **exact)
    found = judge_silence(TERMS, stored)
    assert found.verdict == answer and found.bar == pytest.approx(bar)


def test_silence_within_the_noise_of_both_shares_is_not_more() -> None:
    stored = block("silence", "share", value=60.0, square=30.0) | block(
        "silence_logged", "share", value=50.0, square=30.0
    )
    ours, logged = (
        share_interval(read_centred(stored, n), 0.0, level=0.9, score=False) for n in ("silence", "silence_logged")
    )
    most = NormalDist().inv_cdf(0.95) * math.hypot(ours.se, logged.se)
    assert most > 0.04
    found = judge_silence(TERMS, stored)
    assert found.verdict == "pass" and found.bar == pytest.approx(0.2 + most)
    full = block("silence", "share", value=250.0, square=30.0) | block(
        "silence_logged", "share", value=250.0, square=30.0
    )
    assert judge_silence(TERMS, full).bar == 1.0
    unknown = judge_silence(TERMS, stored | block("silence", "share", weight=1.0))
    assert unknown.verdict == "insufficient" and "Too few" in unknown.reason


# Trial guardrails


def _sums(**other: float) -> CentredSums:
    return read_centred(
        block("m", "share", **({"value": -8.0, "square": 4.0, "below": 2.0, "above": 3.0} | other)), "m"
    )


@pytest.mark.parametrize("metric", ["false_intervention", "silence"])
def test_two_releases_are_joined_by_the_inverse_variance_of_their_estimates(metric: str) -> None:
    mine = block(metric, "share", value=-8.0, square=4.0, below=2.0, above=3.0, clip=0.3)
    other = block(
        metric, "share", value=-3.0, square=9.0, below=5.0, above=7.0, people=900.0, weight=400.0, sd_value=4.0, sd_square=5.0,
        sd_beyond=2.0, sd_weight=8.0, clip=0.4, weight_clip=0.9,
    )  # fmt: skip
    f = 250 / 400 * ((4 + 4) / 250**2) / ((9 + 16) / 400**2)
    clip = max(0.8, f * 0.9)
    a, b = 0.8 / clip, f * 0.9 / clip
    found = joined_sums(metric, mine, other)
    assert found.value == pytest.approx(-8 - 3 * f)
    assert found.square == pytest.approx(4 + 9 * f**2 + 2 * f * math.sqrt(4 * 9 * 0.5))
    assert (found.below, found.above) == pytest.approx((a * 2 + b * 5, a * 3 + b * 7))
    assert (found.people, found.sd_people, found.weight) == pytest.approx((400.0, 5.0, 250 + 400 * f))
    assert found.sd_value == pytest.approx(math.hypot(2, 4 * f)) and found.sd_square == pytest.approx(
        math.hypot(3, 5 * f**2)
    )
    assert found.sd_beyond == pytest.approx(math.hypot(a * 1, b * 2)) and found.sd_weight == pytest.approx(
        math.hypot(6, 8 * f)
    )
    assert (found.clips.value, found.clips.weight) == pytest.approx((max(0.3, 0.4 * f), clip))
    swapped = joined_sums(metric, other, mine)
    assert swapped.clips.weight == pytest.approx(max(0.9, 0.8 / f)), "whose people reach farther"
    assert joined_sums(metric, mine, {}) == read_centred(mine, metric)


@pytest.mark.parametrize(
    ("weight", "sd_weight", "people", "sd_people", "joined"),
    [
        (18.1, 6.0, 400.0, 5.0, True),
        (18.0, 6.0, 400.0, 5.0, False),
        (250.0, 6.0, 60.0, 5.0, False),
        (250.0, 6.0, 60.1, 5.0, True),
    ],
)
def test_a_release_is_joined_if_three_sd_of_weight_and_fifty_people_are_behind_it(
    weight: float, sd_weight: float, people: float, sd_people: float, joined: bool
) -> None:
    good = block("silence", "share")
    poor = block("silence", "share", weight=weight, sd_weight=sd_weight, people=people, sd_people=sd_people)
    assert (joined_sums("silence", good, poor) != read_centred(good, "silence")) is joined
    assert (joined_sums("silence", poor, good) != read_centred(poor, "silence")) is joined


def test_a_sum_without_weight_is_not_known() -> None:
    assert trial_guardrails._known(_sums(weight=6.1)) and not trial_guardrails._known(_sums(weight=6.0))
    assert not trial_guardrails._known(_sums(weight=0.0, sd_weight=-1.0))
    assert trial_guardrails._relative_variance(_sums(square=-3.0)) == pytest.approx(4.0 / 250**2)


def _expected_bounds(s: CentredSums, centre: float, bar: float, unsure: float, z: float) -> tuple[float, float]:
    value = s.value - (bar - centre) * s.weight
    variance = (
        max(s.square, 0.0)
        + 0.5 * s.sd_square
        + s.sd_value**2
        + ((bar - centre) * s.sd_weight) ** 2
        + (unsure * s.weight) ** 2
    )
    ends = []
    for beyond, reach, sign in ((s.below, bar * s.clips.weight, -1), (s.above, (1 - bar) * s.clips.weight, 1)):
        clip = min(s.clips.value, reach)
        far = reach if beyond > 2 * s.sd_beyond else clip
        ends.append(
            bar
            + (value + sign * (z * math.sqrt(variance + (clip * s.sd_beyond) ** 2) + far * max(beyond, 0.0))) / s.weight
        )
    shown = min(max(centre + s.clipped_value / s.weight, 0.0), 1.0)
    return min(max(ends[0], 0.0), shown), max(min(ends[1], 1.0), min(shown, bar))


@pytest.mark.parametrize("z", [1.0, 1.96])
@pytest.mark.parametrize(
    "other",
    [
        {},
        {"square": -1.0},
        {"below": -2.0, "above": -1.0},
        {"below": 1.9, "above": 2.1},
        {"value": 40.0, "clip": 0.02},
        {"value": -30.0},
        {"value": 300.0},
        {"sd_beyond": 3.0},
    ],
)
@pytest.mark.parametrize(("bar", "unsure"), [(0.1, 0.0), (0.04, 0.01)])
def test_the_bounds_of_a_guardrail(z: float, other: dict[str, float], bar: float, unsure: float) -> None:
    """S - (bar' - bar) W, with the noise of W and of bar' at their distances (Fieller)."""
    s = _sums(**other)
    assert trial_guardrails._share_bounds(s, 0.1, bar, unsure, z) == pytest.approx(
        _expected_bounds(s, 0.1, bar, unsure, z)
    )


@pytest.mark.parametrize(("look", "alpha"), [(1, 0.05), (2, 0.025), (3, 0.0125)])
def test_guardrails_halve_their_level_with_each_look(look: int, alpha: float) -> None:
    ratio, z = SILENT_HARM_RATIO, NormalDist().inv_cdf(1 - alpha)
    stored = (
        block("empathy_deficit", "share", value=-9.0, square=4.0)
        | block("false_intervention", "share", value=-12.0, square=3.0)
        | block("silence", "share", value=50.0, square=9.0)
    )
    found = {j.name: j for j in guardrail_judgements(SPEC, stored, None, look)}
    low, high = _expected_bounds(read_centred(stored, "empathy_deficit"), 0.25, 0.25, 0.0, z)
    assert (found["empathy"].low, found["empathy"].high) == pytest.approx((1 - high, 1 - low))
    assert found["empathy"].value == pytest.approx(1 - (0.25 - 9 / 250)) and found["empathy"].bar == 0.75
    silent = 50 / 250
    se = math.sqrt(9 + 4) / 250
    more = 1 + (ratio - 1) * silent
    bar, unsure = 0.1 / more, 0.1 * (ratio - 1) * se / more**2
    sums = read_centred(stored, "false_intervention")
    assert (found["false_intervention"].low, found["false_intervention"].high) == pytest.approx(
        _expected_bounds(sums, 0.1, bar, unsure, z)
    )
    assert found["false_intervention"].bar == pytest.approx(bar) and found["false_intervention"].users == 400.0
    assert [j.low for j in guardrail_judgements(SPEC, stored, None)] == [
        j.low for j in guardrail_judgements(SPEC, stored, None, 1)
    ]


def test_the_bar_after_silence() -> None:
    """Nothing declared to be unknown: the bar. Nothing known of the silent: all may be. Without noise: no doubt."""
    ratio = SILENT_HARM_RATIO
    assert trial_guardrails._bar_after_silence(None) == (0.1, 0.0)
    assert trial_guardrails._bar_after_silence(_sums(weight=1.0)) == (0.1 / ratio, 0.0)
    exact = _sums(value=50.0, sd_value=0.0, below=0.0, above=0.0)
    bar, unsure = trial_guardrails._bar_after_silence(exact)
    assert bar == pytest.approx(0.1 / (1 + (ratio - 1) * 0.2)) and unsure == 0.0


@pytest.mark.parametrize(("value", "answer"), [(-40.0, "pass"), (0.0, "insufficient"), (30.0, "fail")])
@pytest.mark.parametrize("name", ["empathy", "false_intervention"])
def test_a_guardrail_says_how_its_share_lies_to_its_bar(name: str, value: float, answer: str) -> None:
    metric = {"empathy": "empathy_deficit"}.get(name, name)
    silence = block("silence", "share", value=0.0, square=0.1, sd_value=0.1, sd_beyond=0.0)
    stored = block("empathy_deficit", "share") | block("false_intervention", "share") | silence
    stored |= block(metric, "share", value=value, square=1.0, sd_beyond=0.1)
    found = {j.name: j for j in guardrail_judgements(SPEC, stored, None)}[name]
    words = {"pass": "meets the bar", "insufficient": "is not proven to meet", "fail": "is proven beyond"}
    assert found.verdict == answer and words[answer] in found.reason
    centre = {"empathy": 0.75 - value / 250, "false_intervention": 0.1 + value / 250}[name]
    assert found.value == pytest.approx(min(max(centre, 0.0), 1.0))


def test_false_interventions_between_both_bars_are_open() -> None:
    """Above the bar that silence lowers, and not proven beyond the bar itself."""
    stored = block("false_intervention", "share", value=-9.0, square=0.1, sd_value=1.0, sd_square=0.1)
    stored |= block("silence", "share", value=200.0, square=1.0)
    found = {
        j.name: j
        for j in guardrail_judgements(replace(SPEC, imports=replace(SPEC.imports, reward={"total": "r"})), stored, None)
    }
    judged_one = found["false_intervention"]
    assert judged_one.low > judged_one.bar and judged_one.verdict == "insufficient"


@pytest.mark.parametrize(
    ("sd", "above", "said"),
    [(0.49, 0.0, False), (0.5, 0.0, True), (4.0, 8.0, True), (4.0, 8.1, False), (4.0, -3.0, True)],
)
def test_people_that_noise_may_hide_are_named(sd: float, above: float, said: bool) -> None:
    spec = replace(SPEC, imports=replace(SPEC.imports, reward={"total": "r"}))
    stored = block("false_intervention", "share", value=-10.0, sd_beyond=sd, above=above) | block(
        "silence", "share", value=0.0
    )
    (found,) = guardrail_judgements(spec, stored, None)
    assert (f"Up to about {2 * sd:.0f} people" in found.reason) is said


def test_too_few_known_interventions_have_no_value() -> None:
    stored = (
        block("empathy_deficit", "share", weight=1.0)
        | block("false_intervention", "share", weight=1.0)
        | block("silence", "share")
    )
    for found, bar in zip(guardrail_judgements(SPEC, stored, None), (0.75, 0.1), strict=True):
        assert math.isnan(found.value) and (found.low, found.high, found.bar) == (0.0, 1.0, bar)
        assert found.verdict == "insufficient" and found.users is None
    negative = block("false_intervention", "share", people=400.0)
    assert trial_guardrails._judgement("empathy", 0.8, 0.7, 0.9, 0.75, _sums(people=-5.0), "pass").users == 0.0
    assert negative


# Losses


def difference(
    name: str, value: float, total: float, people: float, sd: tuple[float, float, float], centre: float
) -> Stored:
    return {name: np.array([value, total, people]), f"{name}_sd": np.array(sd), f"{name}_centre": np.array([centre])}


def _error(value: float, total: float, people: float, sd: tuple[float, float, float], centre: float) -> float:
    """Sampling 4 (p (1 - p) + (p - c)^2) / n, with p raised by half an sd of its noise, and the noise on the difference."""
    n = max(people, 1.0)
    p = min(max((total + 0.5 * sd[1]) / n, 0.0), 1.0)
    return math.sqrt(4 * (p * (1 - p) + (p - centre) ** 2) / n + (sd[0] / n) ** 2)


LOST = (30.0, 120.0, 800.0, (6.0, 8.0, 20.0), 0.1)


@pytest.mark.parametrize(("look", "alpha"), [(1, 0.05), (2, 0.025), (3, 0.0125)])
def test_retention_is_what_the_candidate_keeps_within_its_error(look: int, alpha: float) -> None:
    radius = NormalDist().inv_cdf(1 - alpha) * _error(*LOST)
    found = judge_retention(difference("retention", *LOST), look)
    assert (found.value, found.low, found.high) == pytest.approx((-30 / 800, -30 / 800 - radius, -30 / 800 + radius))
    assert (found.bar, found.users) == (-0.15, 800.0)


@pytest.mark.parametrize(
    "lost", [(900.0, 120.0, 800.0, (6.0, 8.0, 20.0), 0.1), (-900.0, 900.0, 800.0, (6.0, 8.0, 20.0), 0.1)]
)
def test_a_difference_of_shares_ends_at_one(
    lost: tuple[float, float, float, tuple[float, float, float], float],
) -> None:
    found = judge_retention(difference("retention", *lost), 1)
    assert found.low >= -1.0 and found.high <= 1.0
    assert found.low == -1.0 if lost[0] > 0 else found.high == 1.0


@pytest.mark.parametrize(
    ("value", "answer"), [(0.0, "pass"), (0.09, "pass"), (0.14, "insufficient"), (0.16, "insufficient"), (0.25, "fail")]
)
def test_a_loss_of_15_percent_is_the_bar(value: float, answer: str) -> None:
    found = judge_retention(difference("retention", value * 4000, 400.0, 4000.0, (50.0, 8.0, 20.0), 0.1), 1)
    assert found.verdict == answer
    ends = {"pass": "which excludes", "insufficient": "does not exclude", "fail": "is a proven loss of more than 15%"}
    assert ends[answer] in found.reason and f"{-value:+.1%}" in found.reason


@pytest.mark.parametrize(("people", "known"), [(90.0, True), (89.9, False)])
def test_retention_needs_fifty_people_beyond_two_sd_of_noise(people: float, known: bool) -> None:
    found = judge_retention(difference("retention", 1.0, 9.0, people, (1.0, 1.0, 20.0), 0.1), 1)
    assert math.isfinite(found.value) is known
    if not known:
        assert (found.low, found.high, found.bar, found.users) == (-1.0, 1.0, -0.15, None)


def test_days_lost_cost_the_usual_reward_half_as_long_again() -> None:
    stored = difference("retention", *LOST) | {"centre": np.array([0.8])}
    assert price_of_leaving(stored) == pytest.approx(0.8 * 1.5 * (30 / 800 - 0.5 * _error(*LOST)))
    assert price_of_leaving(stored | {"centre": np.array([-0.8])}) == 0.0
    assert price_of_leaving(difference("retention", -30.0, *LOST[1:]) | {"centre": np.array([0.8])}) == 0.0


def test_missing_rewards_cost_a_scale_beyond_what_is_proven() -> None:
    lost = (120.0, *LOST[1:])
    assert price_of_missing_rewards(difference("reports", *lost)) == pytest.approx(120 / 800 - 1.645 * _error(*lost))
    assert price_of_missing_rewards(difference("reports", 10.0, *LOST[1:])) == 0.0


@pytest.mark.parametrize(("total", "people"), [(0.2, 0.3), (-9.0, 800.0), (900.0, 800.0)])
def test_an_error_is_that_of_a_share_of_at_least_one_person(total: float, people: float) -> None:
    lost = (500.0, total, people, (6.0, 8.0, 20.0), 0.1)
    expected = 500.0 / max(people, 1.0) - 1.645 * _error(*lost)
    assert price_of_missing_rewards(difference("reports", *lost)) == pytest.approx(max(expected, 0.0))


@pytest.mark.parametrize(
    ("total", "people", "said"),
    [(56.1, 800.0, "about 7%"), (56.0, 800.0, ""), (900.0, 800.0, "about 100%"), (16.06, 0.0, "about 100%")],
)
def test_decisions_without_a_reward_are_named_where_more_than_a_twentieth_are_proven(
    total: float, people: float, said: str
) -> None:
    found = name_unreported(
        judged("improvement", "pass"), difference("reports", 0.0, total, people, (6.0, 8.0, 20.0), 0.1)
    )
    assert found.reason == "improvement says pass." + (
        f" It says nothing about the decisions without a reward, {said} of all in both arms together." if said else ""
    )


def result(*judgements: Judgement) -> GateResult:
    return combine_verdicts(list(judgements))


# Trials


def improvement_sums(**other: float) -> Stored:
    n = {
        "value": 60.0, "square": 90.0, "against": 3.0, "favour": 2.0, "users": 600.0, "arms": 6.0, "sd_value": 5.0,
        "sd_square": 7.0,
        "sd_against": 4.0, "sd_favour": 4.0, "sd_users": 20.0, "sd_arms": 16.0, "clip": 0.6, "centre": 0.5,
    } | other  # fmt: skip
    names = ("value", "square", "against", "favour", "users", "arms")
    stored = {
        "improvement": np.array([n[k] for k in names]), "improvement_sd": np.array([n[f"sd_{k}"] for k in names]),
        "improvement_clip": np.array([n["clip"]]), "centre": np.array([n["centre"]]),
    }  # fmt: skip
    stored |= difference("retention", n.get("lost", 0.0), 60.0, n["users"], (1.0, 1.0, 20.0), 0.1)
    return stored | difference("reports", n.get("missing", 0.0), 10.0, n["users"], (1.0, 1.0, 20.0), 0.0)


BARE = replace(PLANTED, reward=replace(PLANTED.reward, scale=2.0, limit=30.0))


def _read(earlier: Stored | None = None, **other: float) -> trial._Sums:
    return trial._read(BARE, improvement_sums(**other), earlier)


def test_a_trials_sums_are_read_as_shares_of_its_people() -> None:
    sums = _read(lost=90.0, missing=90.0)
    assert sums.beyond == pytest.approx({"against": 3 / 600, "favour": 2 / 600})
    assert sums.beyond_sd == pytest.approx({"against": 4 / 600, "favour": 4 / 600})
    assert (sums.reach, sums.clip) == (30.0, 1.2), "twice the largest total in reward scales, twice the clip"
    assert sums.leaving == pytest.approx(price_of_leaving(improvement_sums(lost=90.0))) and sums.leaving > 0
    assert sums.missing == pytest.approx(price_of_missing_rewards(improvement_sums(missing=90.0))) and sums.missing > 0
    assert sums.price == sums.leaving + sums.missing
    assert _read(users=0.2).beyond["against"] == 3.0, "there is at least one person"


def test_people_against_the_candidate_are_joined_with_those_of_the_evaluation() -> None:
    earlier = block("improvement", "mean", below=9.0, people=900.0, sd_beyond=3.0)
    a, b = (4 / 600) ** -2, (3 / 900) ** -2
    sums = _read(earlier)
    assert sums.beyond["against"] == pytest.approx((a * 3 / 600 + b * 9 / 900) / (a + b))
    assert sums.beyond_sd["against"] == pytest.approx((a + b) ** -0.5)
    assert sums.beyond["favour"] == pytest.approx(2 / 600), "who speaks for it is not joined"
    assert _read(block("improvement", "mean", below=9.0, people=0.1, sd_beyond=3.0)).beyond["against"] < 0.01
    assert _read(block("support", "share")).beyond == _read().beyond
    assert trial._joined([(0.2, 0.0), (0.3, 0.0), (0.9, 0.1)]) == (0.3, 0.0)


def test_the_bound_of_a_sum_holds_sampling_noise_and_whom_it_may_hide() -> None:
    sums, z = _read(), 2.0
    inside = z * math.sqrt(90 + 0.5 * 7 + 25)
    assert sums.bound(z) == pytest.approx(inside)
    hidden = NormalDist().inv_cdf(0.95) * 3.0 * 4.0
    assert sums.bound(z, against=True) == pytest.approx(math.hypot(inside, hidden))
    assert _read(square=-5.0).bound(z) == pytest.approx(z * math.sqrt(3.5 + 25))


@pytest.mark.parametrize(
    ("against", "favour", "clip", "side", "expected"),
    [
        (3.0, 2.0, 0.6, "against", 3 * 3.0),  # within their noise: three scales each
        (3.0, 2.0, 0.6, "favour", 2 * 1.2),  # or the clip
        (9.0, 2.0, 0.6, "against", 9 * 30.0),  # proven: as far as a reward can
        (8.0, 2.0, 0.6, "against", 8 * 3.0),  # two sd of the noise are not proof
        (-4.0, 2.0, 0.6, "against", 0.0),
        (
            20.0,
            12.0,
            2.5,
            "against",
            (20 - (12 - 8)) * 30.0,
        ),  # at the far clip those proven on the other side explain some
        (20.0, 12.0, 2.4, "against", 20 * 30.0),
        (12.0, 20.0, 2.5, "favour", (20 - (12 - 8)) * 30.0),
        (3.0, 20.0, 2.5, "against", 0.0),
    ],
)
def test_people_beyond_the_clip_may_hide_as_much_as_their_number_allows(
    against: float, favour: float, clip: float, side: str, expected: float
) -> None:
    assert _read(against=against, favour=favour, clip=clip).hidden(side) == pytest.approx(expected)


def test_two_in_a_thousand_may_always_be_noise() -> None:
    assert _read(sd_against=0.1).margin("against") == 0.002
    assert _read(sd_against=4.0).margin("against") == pytest.approx(8 / 600)


def _improvement(look: int = 1, **other: float) -> Judgement:
    verdict_ = trial.trial_verdict(BARE, improvement_sums(**other), look)
    return next(j for j in verdict_.judgements if j.name == "improvement")


@pytest.mark.parametrize("look", [1, 2, 3])
@pytest.mark.parametrize("lost", [0.0, 90.0])
def test_a_trials_improvement_is_the_difference_less_its_prices(look: int, lost: float) -> None:
    """In the loop's units, of 2 a scale. Bounds at the look's level, with what people beyond the clip may add."""
    found, sums = _improvement(look, lost=lost, missing=lost), _read(lost=lost, missing=lost)
    z = NormalDist().inv_cdf(1 - 0.3 / math.pi**2 / look**2)
    estimate = 60 / 600 - sums.price
    low = estimate - 3 * 3.0 / 600 - sums.bound(z, against=True) / 600
    high = estimate + 2 * 1.2 / 600 + sums.bound(z) / 600
    assert (found.value, found.low, found.high) == pytest.approx((2 * estimate, 2 * low, 2 * high))
    assert found.bar == 0.0 and found.users == 600.0
    if lost:
        assert (
            f"less {2 * sums.leaving:.3g} for the days that people stay away and {2 * sums.missing:.3g} for rewards"
            in found.reason
        )


EXACT = {
    "square": 9.0,
    "sd_value": 0.5,
    "sd_square": 0.5,
    "against": 0.0,
    "favour": 0.0,
    "sd_against": 0.1,
    "sd_favour": 0.1,
}


@pytest.mark.parametrize(
    ("value", "other", "answer", "words"),
    [
        (60.0, {}, "pass", "which is above 0"),
        (-60.0, {}, "fail", "so the candidate is not better"),
        (1.0, {}, "insufficient", "does not exclude 0"),
        (60.0, {"against": 40.0, "sd_against": 4.0}, "insufficient", "about 40 people may have lost"),
        (60.0, {"users": 80.0, "sd_users": 20.0}, "insufficient", "Too few people"),
        (60.0, {"arms": 400.0}, "insufficient", "do not hold equal numbers"),
        (-60.0, {"favour": 40.0, "sd_favour": 4.0}, "insufficient", "does not exclude 0"),
    ],
)
def test_a_trials_improvement_is_above_0_not_better_or_open(
    value: float, other: dict[str, float], answer: str, words: str
) -> None:
    found = _improvement(1, **(EXACT | other | {"value": value}))
    assert found.verdict == answer and words in found.reason


def test_an_open_trial_names_the_people_that_the_smallest_effect_takes() -> None:
    sums, z = _read(value=10.0, square=9000.0), NormalDist().inv_cdf(1 - 0.3 / math.pi**2)
    se, effect = sums.bound(1.0) / 600, smallest_effect(BARE)
    needed = math.ceil(600 * max(1.0, (z + NormalDist().inv_cdf(0.8)) * se / effect) ** 2)
    found = _improvement(value=10.0, square=9000.0)
    assert (
        needed > 600
        and found.needed_users == needed
        and f"A decision needs about {needed:,.0f} people." in found.reason
    )
    assert _improvement(1, **(EXACT | {"value": 1.0})).needed_users is None, "as many are there"
    assert trial.people_words(600.0, 600.0) == ""


def test_a_trial_is_read_from_fifty_people_beyond_the_noise_on() -> None:
    assert "Too few" not in _improvement(users=90.0, sd_users=20.0, arms=0.0).reason
    assert "Too few" in _improvement(users=89.9, sd_users=20.0, arms=0.0).reason


@pytest.mark.parametrize(
    ("d", "sd", "n"), [(0.0, 0.0, 500.0), (80.0, 10.0, 500.0), (80.0, 60.0, 500.0), (300.0, 10.0, 5000.0)]
)
def test_evidence_of_unequal_arms_is_a_log_bayes_factor(d: float, sd: float, n: float) -> None:
    """N(d; 0, n + sd^2) against the same widened by n^2 / 101, the variance of a Beta(50, 50) share's difference."""
    equal, apart = NormalDist(0, math.sqrt(n + sd**2)), NormalDist(0, math.sqrt(n + sd**2 + n**2 / 101))
    assert trial.sample_ratio_evidence(d, sd, n) == pytest.approx(math.log(apart.pdf(d) / equal.pdf(d)))


def test_a_trial_needs_the_people_that_noise_hides_and_fifty_more() -> None:
    share = TRIAL_SHARES["improvement"] / sum(TRIAL_SHARES.values())
    assert trial.people_for_trial(5.0) == pytest.approx(50 + 2 * 5.0 * IMPROVEMENT_CLIP / 0.2 / math.sqrt(share))


@pytest.mark.parametrize("look", [0, 4])
def test_a_trial_has_three_looks(look: int) -> None:
    with pytest.raises(ValueError, match="looks 1 to 3"):
        trial.trial_verdict(BARE, improvement_sums(), look)
    for possible in (1, 2, 3):
        trial.trial_verdict(BARE, improvement_sums(), possible)


def test_arms_that_cannot_be_compared_judge_no_retention() -> None:
    found = {j.name: j for j in trial.trial_verdict(BARE, improvement_sums(arms=400.0, lost=300.0), 1).judgements}
    assert math.isnan(found["retention"].value)
    fine = {j.name: j for j in trial.trial_verdict(BARE, improvement_sums(lost=300.0), 1).judgements}
    assert fine["retention"].verdict == "fail"


@pytest.mark.parametrize(
    ("name", "high", "harms"),
    [("improvement", -0.1, True), ("improvement", 0.0, False), ("empathy", 0.3, True), ("false_intervention", 0.3, True),
     ("retention", 0.3, True), ("support", -0.3, False)],
)  # fmt: skip
def test_harm_is_a_failed_guardrail_or_a_proven_loss(name: str, high: float, harms: bool) -> None:
    assert trial.trial_harms(result(judged(name, "fail", high=high), judged("other", "pass"))) is harms
    assert not trial.trial_harms(result(judged(name, "insufficient", high=high)))


@pytest.mark.parametrize(
    ("declared", "incumbent", "first"), [("always", False, True), ("always", True, False), ("undecided", False, False)]
)
def test_a_first_policy_is_tried_unless_the_loop_declares_otherwise(
    declared: str, incumbent: bool, first: bool
) -> None:
    assert trial.trial_first(replace(SPEC, trial=declared), incumbent=incumbent) is first  # type: ignore[arg-type]


OPEN = judged("improvement", "insufficient", value=0.1, high=0.3)


@pytest.mark.parametrize(
    ("gates", "judgements", "wanted"),
    [
        ([(0.1, 1.3)], [OPEN], True),
        ([(0.09, 1.3)], [OPEN], False),
        ([(1.0, 1.3), (0.05, 1.0)], [OPEN], False),
        ([], [OPEN], False),
        ([(1.0, 1.3)], [judged("improvement", "pass", low=0.1)], False),
        ([(1.0, 1.3)], [judged("improvement", "fail")], False),
        ([(1.0, 1.3)], [OPEN, judged("empathy", "fail")], False),
        ([(1.0, 1.3)], [judged("support", "insufficient", low=0.2, high=0.89), OPEN, judged("empathy", "fail")], False),
        ([(1.0, 1.3)], [judged("improvement", "insufficient", high=0.0)], False),
        ([(1.0, 1.3)], [judged("improvement", "insufficient", value=-0.1, high=0.2)], True),
        ([(1.0, 1.3), (1.0, 1.0)], [judged("improvement", "insufficient", value=-0.1, high=0.2)], False),
        ([(1.0, 1.3), (1.0, 1.0)], [judged("improvement", "insufficient", value=0.0, high=0.2)], False),
        ([(1.0, 1.3), (1.0, 1.0)], [OPEN], True),
        ([(1.0, 1.3)], [OPEN, judged("support", "insufficient", low=0.2, high=0.9)], True),
        ([(1.0, 1.3)], [OPEN, judged("support", "insufficient", low=0.2, high=0.89)], False),
        ([(1.0, 1.3)], [OPEN, judged("support", "insufficient", low=1.11, high=1.4)], False),
        ([(1.0, 1.3)], [OPEN, judged("support", "insufficient", low=1.1, high=1.4)], True),
    ],
)
def test_a_candidate_is_tried_where_the_evidence_leaves_it_open(
    gates: list[tuple[float, float]], judgements: list[Judgement], wanted: bool
) -> None:
    assert trial.trial_wanted(gates, result(*judgements)) is wanted
    assert not trial.trial_wanted(gates, None)


@pytest.mark.parametrize(
    ("below", "above", "hides"),
    [(2.3, 0.0, False), (2.4, 0.0, True), (9.0, 9.1, False), (9.2, 9.0, True), (9.0, 4.0, True), (2.4, -9.0, True)],
)
def test_losses_are_hidden_where_more_lie_below_the_clip_than_noise_and_the_other_side_explain(
    below: float, above: float, hides: bool
) -> None:
    """Noise: 2.326. Who is proven above the clip explains as many below it."""
    earlier = block("improvement", "mean", below=below, above=above, sd_beyond=1.0)
    assert trial.hides_losses(earlier) is hides
    assert trial.trial_wanted([(1.0, 1.3)], result(OPEN), earlier) is not hides
    proven = result(judged("improvement", "pass"), judged("empathy", "insufficient"))
    assert trial.trial_wanted([(1.0, 1.3)], proven, earlier), "a proven improvement hides no losses"
    assert not trial.hides_losses({})


# Optimism


def test_noise_of_a_training_release_is_that_of_its_blocks() -> None:
    layout = ReleaseLayout.of(PLANTED, hinges=False)
    facts = public_facts(layout, 32)
    for name in ("gram", "effects"):
        expected = facts.clips[name] * 3.0 / math.sqrt(layout.shares[name])
        assert optimism._noise_sd(layout, facts, name, 3.0) == pytest.approx(expected)
    assert optimism._noise_sd(layout, facts, "gram", None) == 0.0


def test_a_root_and_the_noise_of_a_gram() -> None:
    a = np.array([[2.0, 0.5], [0.5, 1.0]])
    root = optimism._root(a)
    np.testing.assert_allclose(root @ root.T, a)
    assert np.isfinite(optimism._root(np.diag([1.0, -1e-12]))).all()
    rng = np.random.default_rng(0)
    noise = np.stack([optimism._symmetric_noise(3, 0.5, rng) for _ in range(4_000)])
    np.testing.assert_array_equal(noise, noise.swapaxes(1, 2))
    assert noise[:, 1, 1].std() == pytest.approx(0.5, rel=0.06)
    assert noise[:, 0, 1].std() == pytest.approx(0.5 / math.sqrt(2), rel=0.06)


@pytest.mark.parametrize(("sigma", "people"), [(None, 256.0), (2.0, 256.0)])
def test_a_population_is_trained_on_its_own_error(
    sigma: float | None, people: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same draws again: error G^-1 V^-1 B, what is believed of the noised B, and the error's worth where it is followed."""
    layout = ReleaseLayout.of(PLANTED, hinges=False)
    facts = public_facts(layout, 32, 0.2)
    phi = layout.phi.phi(null_rows(PLANTED, decisions=32).state[:500])
    found = optimism._overstated(layout, facts, phi, people, sigma, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    rows, weight = people * facts.rows["effects"], people * facts.weights["effects"]
    assert rows != weight != people
    gram_sd = optimism._noise_sd(layout, facts, "gram", sigma) / people
    effects_sd = optimism._noise_sd(layout, facts, "effects", sigma) / weight
    sampled = (
        optimism._root(layout.covariance) @ rng.normal(size=(1, 3)) @ optimism._root(facts.gram).T / math.sqrt(rows)
    )
    upper = np.triu(rng.normal(size=(3, 3)), 1) * gram_sd / math.sqrt(2)
    gram = facts.gram + upper + upper.T + np.diag(rng.normal(size=3) * gram_sd)
    released = NoisyMoments(
        estimate_gram(layout, gram, gram_sd**2, facts.gram), layout.covariance,
        sampled + effects_sd * rng.normal(size=(1, 3)), 1.0, rows, effects_sd,
    )  # fmt: skip
    believed = released_posterior(layout.phi, released, schedule=optimism._SCHEDULE).mean[0]
    error = np.linalg.inv(facts.gram) @ sampled[0] / 0.24
    scores, actual = phi @ believed, phi @ error
    margin = max(0.0, float(np.quantile(scores, 0.6)))
    assert found == pytest.approx(float(np.mean(np.where(scores > margin, actual, 0.0))))


def test_the_allowance_is_mean_and_sd_over_sixty_populations(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, asked = iter(range(60)), []

    def overstated(*args: object) -> float:
        asked.append(args)
        return float(next(drawn))

    monkeypatch.setattr(optimism, "_overstated", overstated)
    optimism._allowance.cache_clear()
    found = optimism.optimism_allowance(PLANTED, people=1_011.0, decisions=20.0, sigma=2.0, explored_share=0.5)
    optimism._allowance.cache_clear()
    assert found == pytest.approx((29.5, float(np.std(np.arange(60), ddof=1))))
    layout, facts, phi, people, sigma, _ = asked[0]
    assert (people, sigma) == (1_024.0, 2.0), "to the next half octave"
    assert facts is public_facts(layout, 16, 0.5)  # type: ignore[arg-type]
    assert 4_000 <= len(phi) <= 8_000  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("people", "size"), [(1.0, 2.0), (2.3, 2.0), (2.5, 2.0**1.5), (100.0, 2.0**6.5), (128.0, 128.0)]
)
def test_sizes_are_rounded_to_half_octaves(people: float, size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimism, "_allowance", lambda *args: args)
    found = optimism.optimism_allowance(PLANTED, people=people, decisions=20.0, sigma=None)
    _, rounded, *others = cast(tuple[object, ...], found)
    assert rounded == pytest.approx(size) and others == [16, None, 1.0]
