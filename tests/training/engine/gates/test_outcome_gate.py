"""The outcome gate on planted people: the good pass, the harmful fail, few people are not enough; doubly robust and unbiased."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.arrays import Floats
from loops.engine.parse.loop import parse_loop
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.spec import LoopSpec
from loops.selectors import loop_specs_builtin
from privacy.engine.evaluation.centred_sums import PersonValues, ValueClips
from privacy.engine.evaluation.clips import evaluation_clips
from privacy.engine.evaluation.release import EVALUATION_SHARES, release_evaluation, release_values
from privacy.engine.evaluation.statistics import (
    EvaluationCandidate,
    EvaluationRows,
    SubCandidate,
    harm_and_answers,
    measured_metrics,
    person_values,
    sub_metric,
)
from privacy.engine.moments.null_population import LoggingPolicy
from tests.factories.planted import EFFECT, TONE, planted_rows, planted_spec
from tests.factories.worlds import taught
from training.engine.gates.decision_rule import FALSE_PASS_ALPHA
from training.engine.gates.gate_terms import GateTerms
from training.engine.gates.judgements import Judgement
from training.engine.gates.outcome_gate import outcome_gate, sub_gate

SPEC = planted_spec()
PHI = taught().moments.layout.phi
REFERENCE = reference_policy(SPEC, "policy")


def _policy(effect: Floats) -> LinearPolicy:
    return LinearPolicy(PHI, np.vstack([np.zeros(3), effect]), 0.0, 0)


def _candidate(effect: Floats, *, model: Floats | None = None, **more: object) -> EvaluationCandidate:
    reward = np.zeros((2, 3)) if model is None else model
    return EvaluationCandidate(_policy(effect), REFERENCE, reward, **more)  # type: ignore[arg-type]


def _judged(seed: int, *, copies: int = 5, served: LinearPolicy | None = None, share: float = 1.0) -> EvaluationRows:
    rows = planted_rows(SPEC, np.random.default_rng(seed), copies=copies, served=served, share=share)
    n = len(rows.state)
    return EvaluationRows(rows, np.full(n, np.nan), np.full(n, -1))


def _verdict(effect: Floats, judged: EvaluationRows, **terms: object) -> str:
    candidate = _candidate(effect)
    sums = release_evaluation(SPEC, judged, candidate, evaluation_clips(SPEC, candidate, 32), None)
    answers = {j.name: j.verdict for j in outcome_gate(GateTerms(SPEC, 0.5, **terms), sums).judgements}  # type: ignore[arg-type]
    return answers["improvement"]


def test_the_good_pass_the_harmful_fail_and_few_are_not_enough() -> None:
    """2,000 people: the true improvement is about .2 scales with a standard error under .01; 6 people: too few by rule."""
    assert _verdict(EFFECT, _judged(1)) == "pass"
    assert _verdict(-EFFECT, _judged(1)) == "fail"
    few = _judged(1, copies=1)
    few = EvaluationRows(few.rows.of_people(0, 6), few.empathy[: 6 * 32], few.harmful[: 6 * 32])
    assert _verdict(EFFECT, few) == "insufficient"


def _r3al() -> LoopSpec:
    return parse_loop(loop_specs_builtin()["r3al"].read_text(), source="r3al.toml")


def _people(
    spec: LoopSpec, people: int, *, harmed: float = 0.02, silent: float = 0.0, silent_logged: float = 0.0,
    deficit: float = 0.05, support: float = 1.0, gain: float = 0.3, sigma: float | None = 3.73 * 2**0.5,
) -> dict[str, Floats]:  # fmt: skip
    """Sums of people who are all alike, with noise of epsilon 1 over two releases. Half of their rows intervene."""
    one, half = np.ones(people), np.full(people, 0.5)
    spread = np.tile([-0.2, 0.2], people)[:people]
    values = {
        "improvement": PersonValues(gain + spread),
        "support": PersonValues((support - 1) * half, half),
        "empathy_deficit": PersonValues(half * (deficit - 0.25), half),
        "false_intervention": PersonValues(half * (1 - silent) * (harmed - 0.1), half * (1 - silent)),
        "silence": PersonValues(half * silent, half),
        "silence_logged": PersonValues(half * silent_logged, half),
        "stability": PersonValues(0.0 * one),
    }
    clips = {m: ValueClips(1.5) if v.weight is None else ValueClips(0.8, 0.8) for m, v in values.items()}
    wanted = {m: values[m] for m in measured_metrics(spec)}
    return release_values(wanted, clips, EVALUATION_SHARES, sigma)


def _said(spec: LoopSpec, stored: dict[str, Floats], **terms: object) -> dict[str, Judgement]:
    result = outcome_gate(GateTerms(spec, 0.5, **terms), stored)  # type: ignore[arg-type]
    return {j.name: j for j in result.judgements} | {
        "all": Judgement("all", 0, 0, 0, 0, 0, result.verdict, result.reason, 0)
    }


@pytest.mark.parametrize(("deficit", "verdict"), [(0.05, "pass"), (0.2, "insufficient"), (0.6, "fail")])
def test_empathy_is_judged_from_its_complement_and_spoken_of_as_empathy(deficit: float, verdict: str) -> None:
    few = verdict == "insufficient"
    people = _people(_r3al(), 40 if few else 1_000, deficit=deficit, sigma=None if few else 5.3)
    judged = _said(_r3al(), people)["empathy"]
    assert (judged.verdict, judged.bar) == (verdict, 0.75)
    assert 0 <= judged.low <= judged.value <= judged.high <= 1
    assert "mpathy over interventions" in judged.reason and "ne minus" not in judged.reason
    assert (" lower bound of " in judged.reason) == (verdict == "pass")
    assert judged.reason.count("people") == (verdict == "insufficient"), "the number of people is named once"


class TestSupport:
    """No estimate counts for what the log hardly tried, however certain the model is."""

    @pytest.mark.parametrize(
        ("support", "reason"), [(0.0, "hardly tried"), (0.5, "hardly tried"), (1.4, "propensities are wrong")]
    )
    def test_a_log_that_does_not_do_it_as_declared_leaves_everything_open(self, support: float, reason: str) -> None:
        said = _said(_r3al(), _people(_r3al(), 5_000, support=support))
        assert said["support"].verdict == said["all"].verdict == "insufficient"
        assert reason in said["all"].reason

    def test_an_action_that_was_never_taken_is_seen_in_peoples_own_rows(self) -> None:
        """All rows wait with probability 1, and the candidate always speaks."""
        judged = _judged(8)
        rows = replace(
            judged.rows, action=np.zeros_like(judged.rows.action), propensity=np.ones(len(judged.rows.action))
        )
        candidate = _candidate(np.array([1.0, 0.0, 0.0]), model=np.array([[0.0, 0, 0], [0.5, 0, 0]]))
        sums = release_evaluation(
            SPEC, replace(judged, rows=rows), candidate, evaluation_clips(SPEC, candidate, 32), None
        )
        result = outcome_gate(GateTerms(SPEC, 0.5), sums)
        assert result.verdict == "insufficient" and "hardly tried" in result.reason

    def test_a_proper_log_supports_it(self) -> None:
        candidate = _candidate(EFFECT)
        sums = release_evaluation(SPEC, _judged(1), candidate, evaluation_clips(SPEC, candidate, 32), 5.3)
        support = {j.name: j for j in outcome_gate(GateTerms(SPEC, 0.5), sums).judgements}["support"]
        assert support.verdict == "pass" and support.value == pytest.approx(1.0, abs=0.1)


class TestSilence:
    def test_the_share_is_among_those_who_answered(self) -> None:
        """6 of 50 answers are harmful: .12, although they are .06 of all interventions."""
        said = _said(_r3al(), _people(_r3al(), 20_000, harmed=0.12, silent=0.5, silent_logged=0.5))
        assert said["false_intervention"].value == pytest.approx(0.12, abs=0.01)
        assert said["false_intervention"].verdict == "fail"

    def test_unknown_silence_lowers_the_bar(self) -> None:
        """30% harmed of whom a fifth answer: 7.9% among answers. A quarter is silent, which may be worse off."""
        said = _said(_r3al(), _people(_r3al(), 5_000, harmed=0.079, silent=0.24, silent_logged=0.24))
        assert said["false_intervention"].verdict == "insufficient"
        assert said["false_intervention"].bar == pytest.approx(0.1 / 1.36, abs=0.005)
        assert _said(_r3al(), _people(_r3al(), 5_000, harmed=0.079))["false_intervention"].verdict == "pass"

    def test_more_silence_than_in_the_log_leaves_the_verdict_open(self) -> None:
        said = _said(_r3al(), _people(_r3al(), 5_000, silent=0.3, silent_logged=0.1))
        assert said["silence"].verdict == said["all"].verdict == "insufficient"
        assert "Silence may hide harm" in said["silence"].reason

    def test_a_loop_may_say_what_silence_means(self) -> None:
        judged = EvaluationRows(_judged(9).rows, np.full(64_000, np.nan), np.full(64_000, -1))
        counted = {
            meaning: harm_and_answers(replace(SPEC, reward=replace(SPEC.reward, silence=meaning)), judged.harmful)  # type: ignore[arg-type]
            for meaning in ("unknown", "harmless", "harmful")
        }
        assert {m: (bool(h.any()), bool(a.any())) for m, (h, a) in counted.items()} == {
            "unknown": (False, False), "harmless": (False, True), "harmful": (True, True),
        }  # fmt: skip


class TestTheMarginOverWhatServes:
    def test_it_is_spent_once(self) -> None:
        slightly_worse = _people(_r3al(), 20_000, gain=0.01)
        terms = {"incumbent": True}
        assert _said(_r3al(), slightly_worse, **terms)["improvement"].verdict == "pass"
        assert (
            _said(_r3al(), _people(_r3al(), 20_000, gain=0.0), conceded=0.1, **terms)["improvement"].verdict != "pass"
        )

    def test_a_candidate_that_seems_worse_is_not_deployed_within_the_margin(self) -> None:
        said = _said(_r3al(), _people(_r3al(), 20_000, gain=-0.04), incumbent=True)
        assert said["improvement"].verdict == "insufficient" and "no better" in said["improvement"].reason


def test_the_allowance_for_optimism_is_taken_off_and_its_uncertainty_too() -> None:
    stored = _people(_r3al(), 5_000, gain=0.03)
    plain, allowed = (_said(_r3al(), stored, allowance=a)["improvement"] for a in ((0.0, 0.0), (0.01, 0.01)))
    scale = _r3al().reward.scale
    assert (plain.value - allowed.value) / scale == pytest.approx(0.01)
    assert (plain.low - allowed.low) / scale > 0.01


@pytest.mark.parametrize("model", [None, np.array([[0.5, 0.2, -0.3], [5.0, -3.0, 1.0]])])
def test_the_estimate_is_unbiased_whatever_the_model_says(model: Floats | None) -> None:
    """Doubly robust with known propensities: a wrong model costs precision, not truth. 4 standard errors are allowed."""
    judged = _judged(2)
    a = person_values(SPEC, judged, _candidate(EFFECT, model=model))["improvement"].value
    phi = PHI.phi(judged.rows.state)
    gain = np.maximum(phi @ EFFECT, 0) + 0.5 * (phi @ EFFECT > 0) * (phi @ TONE)
    assert a.mean() == pytest.approx(gain.mean(), abs=4 * a.std() / np.sqrt(len(a)))


def test_people_who_live_under_what_serves_judge_as_well() -> None:
    """Propensities marginal over the flag: greedy 1 - .1 x ..., others a tenth of the logging distribution."""
    served = _policy(EFFECT)
    judged = _judged(3, served=served, share=0.1)
    a = person_values(SPEC, judged, _candidate(EFFECT))["improvement"].value
    phi = PHI.phi(judged.rows.state)
    gain = np.maximum(phi @ EFFECT, 0) + 0.5 * (phi @ EFFECT > 0) * (phi @ TONE)
    assert a.mean() == pytest.approx(gain.mean(), abs=4 * a.std() / np.sqrt(len(a)))
    wide = evaluation_clips(SPEC, _candidate(EFFECT), 32, LoggingPolicy(0.1, served))["improvement"].value
    assert wide > evaluation_clips(SPEC, _candidate(EFFECT), 32)["improvement"].value, "rare actions weigh more"


def test_over_what_serves_not_being_worse_is_enough() -> None:
    """The same policy as its own rival: improvement 0, futile over a reference, fine over what serves."""
    equal = _people(_r3al(), 20_000, gain=0.001, sigma=None)
    said = {i: _said(_r3al(), equal, incumbent=i)["improvement"].verdict for i in (False, True)}
    assert said == {False: "fail", True: "pass"}


def test_a_sub_head_is_judged_by_its_own_difference() -> None:
    calm = np.vstack([np.zeros(3), TONE])
    tones = {good: LinearPolicy(PHI, calm * good, 0.0, 0) for good in (1, -1)}
    answers = {}
    for good, tone in tones.items():
        sub = SubCandidate(tone, reference_policy(SPEC, "tone"), np.zeros((2, 3)))
        candidate = _candidate(EFFECT, subs={"tone": sub}, main=False)
        sums = release_evaluation(SPEC, _judged(5), candidate, evaluation_clips(SPEC, candidate, 32), None)
        assert set(sums) == {sub_metric("tone") + end for end in ("", "_sd", "_rho", "_clips", "_share")}, (
            "policy is not asked"
        )
        result = sub_gate(GateTerms(SPEC, 0.5), sums, "tone")
        answers[good] = result.judgements[0].value
    assert answers[1] > 0.02 > -0.02 > answers[-1]


def test_each_further_head_and_attempt_is_asked_more_strictly() -> None:
    alone = GateTerms(SPEC, 0.0)
    assert 1 - alone.level == pytest.approx(2 * FALSE_PASS_ALPHA * 6 / np.pi**2)
    assert 1 - GateTerms(SPEC, 0.0, heads=4).level == pytest.approx((1 - alone.level) / 4)
    assert 1 - GateTerms(SPEC, 0.0, attempt=2).level == pytest.approx((1 - alone.level) / 4)


@pytest.mark.parametrize("gain", [0.3, 0.01, -0.3])
@pytest.mark.parametrize("incumbent", [False, True])
def test_value_bar_and_reason_of_a_reward_are_in_one_unit(gain: float, incumbent: bool) -> None:
    """The r3al loop's reward scale is .1, so a number in reward scales is ten times the one that is shown."""
    people = _people(_r3al(), 1_000, gain=gain, sigma=None)
    said = _said(_r3al(), people, incumbent=incumbent)
    assert said["improvement"].value == pytest.approx(gain * 0.1, rel=1e-3)
    for judged in (said["improvement"], said["stability"]):
        assert f"{judged.value:.4g}" in judged.reason and "reward per decision" in judged.reason, judged.reason
        assert f"{judged.bar:.4g}".lstrip("-") in judged.reason, judged.reason
        assert "scale" not in judged.reason
