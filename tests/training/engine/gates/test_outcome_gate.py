"""The outcome gate on planted people: the good pass, the harmful fail, few people are not enough; doubly robust and unbiased."""

from __future__ import annotations

import numpy as np
import pytest

from core.arrays import Floats
from loops.engine.parse.loop import parse_loop
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.selectors import loop_specs_builtin
from privacy.engine.evaluation.statistics import (
    EvaluationCandidate,
    EvaluationRows,
    SubCandidate,
    evaluation_clips,
    measured_metrics,
    person_statistics,
    release_evaluation,
    sub_metric,
)
from privacy.engine.moments.null_population import LoggingPolicy
from tests.factories.planted import EFFECT, TONE, planted_rows, planted_spec
from tests.factories.worlds import taught
from training.engine.gates.decision_rule import FALSE_PASS_ALPHA
from training.engine.gates.outcome_gate import GateTerms, outcome_gate, sub_gate

SPEC = planted_spec()
PHI = taught().moments.layout.phi
REFERENCE = reference_policy(SPEC, "policy")


def _policy(effect: Floats) -> LinearPolicy:
    return LinearPolicy(PHI, np.vstack([np.zeros(3), effect]), 0.0, 0)


def _candidate(effect: Floats, *, model: Floats | None = None, **more: object) -> EvaluationCandidate:
    reward = np.zeros((2, 3)) if model is None else model
    return EvaluationCandidate(_policy(effect), REFERENCE, reward, np.zeros((2, 3)), np.zeros(3), 0.99, **more)  # type: ignore[arg-type]


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


@pytest.mark.parametrize(("deficit", "verdict"), [(0.05, "pass"), (0.22, "insufficient"), (0.6, "fail")])
def test_empathy_is_judged_from_its_complement_and_spoken_of_as_empathy(deficit: float, verdict: str) -> None:
    """Sums of 300 people, exact but for a noise of sd 1: one minus empathy is ``deficit``."""
    spec = parse_loop(loop_specs_builtin()["r3al"].read_text(), source="r3al.toml")
    stored: dict[str, Floats] = {}
    for metric in measured_metrics(spec):
        a, b = 300 * deficit, 300.0
        stored[metric] = np.array([a, b, a, a, b])
        stored |= {f"{metric}_sd": np.ones(5), f"{metric}_clips": np.ones(2)}
    judged = {j.name: j for j in outcome_gate(GateTerms(spec, 0.5), stored).judgements}["empathy"]
    assert (judged.verdict, judged.bar) == (verdict, 0.75)
    assert judged.value == pytest.approx(1 - deficit) and 0 <= judged.low <= judged.value <= judged.high <= 1
    assert judged.reason.startswith(f"Empathy over interventions is {1 - deficit:.4g} with") or verdict == "fail"
    assert "ne minus" not in judged.reason and (" lower bound of " in judged.reason) == (verdict != "fail")
    assert judged.reason.count("people") == (verdict == "insufficient"), "the number of people is named once"


@pytest.mark.parametrize("model", [None, np.array([[0.5, 0.2, -0.3], [5.0, -3.0, 1.0]])])
def test_the_estimate_is_unbiased_whatever_the_model_says(model: Floats | None) -> None:
    """Doubly robust with known propensities: a wrong model costs precision, not truth. 4 standard errors are allowed."""
    judged = _judged(2)
    a, b = person_statistics(SPEC, judged, _candidate(EFFECT, model=model))["improvement"]
    phi = PHI.phi(judged.rows.state)
    gain = np.maximum(phi @ EFFECT, 0) + 0.5 * (phi @ EFFECT > 0) * (phi @ TONE)
    assert a.mean() / b.mean() == pytest.approx(gain.mean(), abs=4 * a.std() / np.sqrt(len(a)))


def test_people_who_live_under_what_serves_judge_as_well() -> None:
    """Propensities marginal over the flag: greedy 1 - .1 x ..., others a tenth of the logging distribution."""
    served = _policy(EFFECT)
    judged = _judged(3, served=served, share=0.1)
    a, _ = person_statistics(SPEC, judged, _candidate(EFFECT))["improvement"]
    phi = PHI.phi(judged.rows.state)
    gain = np.maximum(phi @ EFFECT, 0) + 0.5 * (phi @ EFFECT > 0) * (phi @ TONE)
    assert a.mean() == pytest.approx(gain.mean(), abs=4 * a.std() / np.sqrt(len(a)))
    wide = evaluation_clips(SPEC, _candidate(EFFECT), 32, LoggingPolicy(0.1, served))["improvement"][0]
    assert wide > evaluation_clips(SPEC, _candidate(EFFECT), 32)["improvement"][0], "rare actions weigh more"


def test_over_what_serves_not_being_worse_is_enough() -> None:
    """The same policy as its own rival: improvement 0, futile over a reference, fine over what serves."""
    candidate = EvaluationCandidate(
        _policy(EFFECT), _policy(EFFECT), np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(3), 0.99
    )
    sums = release_evaluation(SPEC, _judged(4), candidate, evaluation_clips(SPEC, candidate, 32), None)
    said = {i: outcome_gate(GateTerms(SPEC, 0.5, incumbent=i), sums).judgements[0].verdict for i in (False, True)}
    assert said == {False: "fail", True: "pass"}


def test_a_sub_head_is_judged_by_its_own_difference() -> None:
    calm = np.vstack([np.zeros(3), TONE])
    tones = {good: LinearPolicy(PHI, calm * good, 0.0, 0) for good in (1, -1)}
    answers = {}
    for good, tone in tones.items():
        sub = SubCandidate(tone, reference_policy(SPEC, "tone"), np.zeros((2, 3)))
        candidate = _candidate(EFFECT, subs={"tone": sub}, main=False)
        sums = release_evaluation(SPEC, _judged(5), candidate, evaluation_clips(SPEC, candidate, 32), None)
        assert set(sums) == {sub_metric("tone") + end for end in ("", "_sd", "_rho", "_clips")}, "policy is not asked"
        result = sub_gate(GateTerms(SPEC, 0.5), sums, "tone")
        answers[good] = result.judgements[0].value
    assert answers[1] > 0.02 > -0.02 > answers[-1]


def test_each_further_head_and_attempt_is_asked_more_strictly() -> None:
    alone = GateTerms(SPEC, 0.0)
    assert 1 - alone.level == pytest.approx(2 * FALSE_PASS_ALPHA * 6 / np.pi**2)
    assert 1 - GateTerms(SPEC, 0.0, heads=4).level == pytest.approx((1 - alone.level) / 4)
    assert 1 - GateTerms(SPEC, 0.0, attempt=2).level == pytest.approx((1 - alone.level) / 4)
