"""The outcome gate as a service: charge the evaluation people, judge the sums, write the verdict beside the version."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from django.db import transaction

from core.errors import BudgetExceeded, InsufficientData
from core.progress import ReportProgress
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.thresholds import LATENCY_BAR_MS, SLOW_SHARE
from privacy.engine.evaluation.statistics import EvaluationCandidate, SubCandidate
from privacy.engine.moments.null_population import LoggingPolicy
from privacy.models import Release
from privacy.services.releases.evaluation import evaluation_release
from training.engine.gates.decision_rule import VerdictWord
from training.engine.gates.model_gate import people_needed
from training.engine.gates.outcome_gate import GateResult, GateTerms, Judgement, outcome_gate, sub_gate
from training.models import OUTCOME_GATE, GateVerdict, ModelMetric, ModelVersion
from training.selectors.versions import attempts_before, model_gate_metrics, version_arrays, version_policy

_LATENCY_CALLS = 400
_OUTDATED = "What serves is another than when this was trained, so nobody was asked; start another turn, which trains to beat it."
_Z90 = 1.6449  # the normal distribution's 95% quantile


@dataclass(frozen=True)
class EvaluationPlan:
    """Who is judged: a version a head, what serves each (learned versions alone), and the share that was explored meanwhile."""

    versions: Mapping[str, ModelVersion]
    incumbents: Mapping[str, ModelVersion]
    explored_share: float

    @property
    def main(self) -> ModelVersion:
        return self.versions[MAIN_HEAD]

    def asked(self) -> list[str]:
        """Heads to put to the people: those that their own model gates let pass, against what serves now; the others only where
        policy acts or will. Nobody where policy is outdated: what deviating is worth was learned for what served before.
        """
        if self.outdated(MAIN_HEAD):
            return []
        passed = [h for h, v in self.versions.items() if _passed_model_gate(v) and not self.outdated(h)]
        acts = MAIN_HEAD in passed or MAIN_HEAD in self.incumbents
        return [h for h in passed if h == MAIN_HEAD or acts]

    def outdated(self, head: str) -> bool:
        """Whether something else serves now than what the version was trained to beat (``parent``; None: the reference alone)."""
        return self.versions[head].parent != self.incumbents.get(head)


def versions_judge(
    *,
    plan: EvaluationPlan,
    decide: Callable[[], object],
    epsilon: float,
    delta: float,
    key: str,
    report: ReportProgress,
) -> Callable[[], dict[str, Any]]:
    """Ask the outcome gate about every head in one charged evaluation; the returned write stores verdicts and metrics.

    A version that its own model gate holds back, or that was trained to beat something that no longer serves, is not put to the
    people (insufficient evidence); when none is, nobody is charged. Where nobody has budget left, the evidence is insufficient
    as well. ``decide`` makes one decision with the versions as serving would. Top-level keys of the result are policy's.
    """
    asked = plan.asked()
    if not asked:
        return lambda: _store(plan, None, {})
    candidate = _candidate(plan, asked)
    spec = plan.main.loop_version.spec
    incumbent = plan.incumbents.get(MAIN_HEAD)
    try:
        release, sums = evaluation_release(
            key=key,
            loop_version=plan.main.loop_version,
            candidate=candidate,
            decisions=float(plan.main.config["decisions"]),
            logged=LoggingPolicy(plan.explored_share, version_policy(incumbent) if incumbent else None),
            epsilon=epsilon,
            delta=delta,
            report=report,
        )
    except (BudgetExceeded, InsufficientData) as error:
        unasked = GateResult("insufficient", f"Nobody could be asked now: {error}.", (), None)
        return lambda: _store(plan, None, dict.fromkeys(asked, unasked))
    report(0.9, "timing decisions")
    results = {}
    for head in asked:
        terms = GateTerms(
            spec,
            float(plan.main.config["rival_value"]),
            attempts_before(plan.versions[head]) + 1,
            incumbent=head in plan.incumbents,
            heads=len(asked),
        )
        if head == MAIN_HEAD:
            results[head] = outcome_gate(terms, sums, decision_latency(decide))
        else:
            results[head] = sub_gate(terms, sums, head)
    return lambda: _store(plan, release, results)


def _passed_model_gate(version: ModelVersion) -> bool:
    said = [m.verdict for m in model_gate_metrics(version)]
    return bool(said) and all(v == "pass" for v in said)


def _held_back(version: ModelVersion) -> GateResult:
    """The model gate's own numbers as metrics: z with its 90% interval (a gain is z posterior deviations above 0)."""
    judged = tuple(_model_judgement(version, m) for m in model_gate_metrics(version))
    if not judged:
        return GateResult("insufficient", "The model gate was not asked; train a new version.", (), None)
    held = [j for j in judged if j.verdict != "pass"]
    if not held:
        reason = "Its model gate lets it pass, but it speaks only where policy intervenes, and policy does not yet."
        return GateResult("insufficient", reason, judged, None)
    needed = [j.needed_users for j in held if j.needed_users is not None]
    return GateResult("insufficient", " ".join(j.reason for j in held), judged, max(needed, default=None))


def _model_judgement(version: ModelVersion, held: ModelMetric) -> Judgement:
    value, bar = held.value or 0.0, held.threshold or 0.0
    needed = None if held.verdict == "pass" else people_needed(value, bar, _people(version))
    takes = f"; it would take about {needed:,.0f} people to tell" if needed is not None else ""
    reason = "" if held.verdict == "pass" else (
        f"The model gate holds the candidate back (z {value:.2f}, the bar is {bar:g}): {held.reason}{takes}."
    )  # fmt: skip
    answer: VerdictWord = "pass" if held.verdict == "pass" else "insufficient"
    return Judgement(held.name, value, value - _Z90, value + _Z90, bar, None, answer, reason, needed)


def _people(version: ModelVersion) -> float:
    """People (training and evaluation together) behind the version's releases, noised; rounds are of the same people."""
    releases = version.releases.filter(loop_version=version.loop_version)
    trained = max((r.noisy_users or 0.0 for r in releases), default=0.0)
    return trained / (1.0 - version.loop_version.spec.evaluation_share)


def decision_latency(decide: Callable[[], object]) -> Judgement:
    """p95 of single decisions, timed here and now; the upper bound is the order statistic that covers p95 with 95% (binomial)."""
    from scipy.stats import binom

    times = np.empty(_LATENCY_CALLS)
    for i in range(_LATENCY_CALLS):
        begun = time.perf_counter()
        decide()
        times[i] = (time.perf_counter() - begun) * 1e3
    times.sort()
    rank = min(int(binom.ppf(0.95, _LATENCY_CALLS, 1 - SLOW_SHARE)), _LATENCY_CALLS - 1)
    value, low, high = float(np.quantile(times, 1 - SLOW_SHARE)), float(times[0]), float(times[rank])
    passed = high <= LATENCY_BAR_MS
    reason = f"The 95th percentile of a decision takes at most {high:.3g} ms; the bar is {LATENCY_BAR_MS:g} ms."
    return Judgement("latency_ms", value, low, high, LATENCY_BAR_MS, None, "pass" if passed else "fail", reason, None)


def _candidate(plan: EvaluationPlan, asked: list[str]) -> EvaluationCandidate:
    arrays = version_arrays(plan.main)
    return EvaluationCandidate(
        policy=version_policy(plan.main),
        rival=_rival(plan, MAIN_HEAD),
        reward=arrays["reward"],
        continuation=arrays["continuation"],
        value=arrays["value"],
        gamma=float(plan.main.config["gamma"]),
        subs={h: _sub_candidate(plan, h) for h in asked if h != MAIN_HEAD},
        main=MAIN_HEAD in asked,
    )


def _sub_candidate(plan: EvaluationPlan, head: str) -> SubCandidate:
    version = plan.versions[head]
    return SubCandidate(version_policy(version), _rival(plan, head), version_arrays(version)["weights"])


def _rival(plan: EvaluationPlan, head: str) -> LinearPolicy:
    incumbent = plan.incumbents.get(head)
    return version_policy(incumbent) if incumbent else reference_policy(plan.main.loop_version.spec, head)


@transaction.atomic
def _store(plan: EvaluationPlan, release: Release | None, results: Mapping[str, GateResult]) -> dict[str, Any]:
    heads = {h: _store_head(v, release, results.get(h), plan.outdated(h)) for h, v in plan.versions.items()}
    return heads[MAIN_HEAD] | {"heads": {h: summary for h, summary in heads.items() if h != MAIN_HEAD}}


def _store_head(
    version: ModelVersion, release: Release | None, asked: GateResult | None, outdated: bool
) -> dict[str, Any]:
    """One head's verdict. Where only the model gate spoke, its word is stored beside the version already."""
    attempt = version.verdicts.count() + 1 if asked is None else attempts_before(version) + 1
    result = asked or (GateResult("insufficient", _OUTDATED, (), None) if outdated else _held_back(version))
    GateVerdict.objects.create(
        version=version,
        attempt=attempt,
        release=release if asked else None,
        verdict=result.verdict,
        reason=result.reason,
        needed_users=result.needed_users,
    )
    if asked is not None:
        for judgement in result.judgements:
            _store_metric(version, judgement)
    return {
        "verdict": result.verdict,
        "reason": result.reason,
        "needed_users": result.needed_users,
        "attempt": attempt,
        "metrics": [asdict(j) for j in result.judgements],
    }


def _store_metric(version: ModelVersion, judgement: Judgement) -> None:
    finite = {n: v if v is not None and np.isfinite(v) else None for n, v in asdict(judgement).items() if n in _NUMBERS}
    ModelMetric.objects.update_or_create(
        version=version,
        source=OUTCOME_GATE,
        name=judgement.name,
        defaults={
            "value": finite["value"],
            "low": finite["low"],
            "high": finite["high"],
            "threshold": finite["bar"],
            "users": finite["users"],
            "needed_users": finite["needed_users"],
            "verdict": judgement.verdict,
            "reason": judgement.reason,
        },
    )


_NUMBERS = {"value", "low", "high", "bar", "users", "needed_users"}
