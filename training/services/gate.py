"""Evaluate candidates on people's outcomes: charge the evaluation release, run the outcome gate, store the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from django.db import transaction

from core.arrays import Floats
from core.errors import BudgetExceeded, InsufficientData
from core.progress import ReportProgress
from core.sentences import sentence
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.engine.thresholds import LATENCY_BAR_MS, SLOW_SHARE
from privacy.engine.evaluation.statistics import EvaluationCandidate, SubCandidate
from privacy.engine.moments.null_population import LoggingPolicy
from privacy.models import Purpose, Release
from privacy.services.releases.evaluation import evaluation_release
from privacy.services.releases.lifecycle import release_sigma
from training.engine.gates.decision_rule import VerdictWord
from training.engine.gates.gate_terms import GateTerms
from training.engine.gates.judgements import GateResult, Judgement
from training.engine.gates.model_gate import people_needed
from training.engine.gates.optimism import optimism_allowance
from training.engine.gates.outcome_gate import outcome_gate, sub_gate
from training.engine.gates.trial import LEAST_Z
from training.models import OUTCOME_GATE, GateVerdict, ModelMetric, ModelVersion
from training.selectors.versions import (
    attempts_before,
    conceded_before,
    model_gate_metrics,
    version_arrays,
    version_policy,
)
from training.services.recorded_versions import judgement_record

_OUTDATED = (
    "The deployed policy has changed since this version was trained, so the version was not evaluated. "
    "To train against the deployed policy, start another turn."
)
_Z90 = 1.6449  # the normal distribution's 95% quantile


@dataclass(frozen=True)
class EvaluationPlan:
    """Plan one charged evaluation.

    ``versions``: the candidate of each head that was trained, which may be one head alone. ``incumbents``: the deployed learned
    version of each head that has one.
    ``explored_share``: the share of logged decisions that were drawn from the logging distribution.
    """

    versions: Mapping[str, ModelVersion]
    incumbents: Mapping[str, ModelVersion]
    explored_share: float

    @property
    def lead(self) -> ModelVersion:
        """Return the version that the verdict of a turn is about: the policy head's, or the one that was trained alone."""
        return self.versions.get(MAIN_HEAD) or next(iter(self.versions.values()))

    @property
    def policy(self) -> ModelVersion:
        """Return the policy version whose model of the reward the evaluation uses: the candidate, or else the incumbent.

        A head that is trained alone is evaluated only beside an incumbent policy.
        """
        return self.versions.get(MAIN_HEAD) or self.incumbents[MAIN_HEAD]

    def heads_to_evaluate(self) -> list[str]:
        """Return the heads whose candidates passed their model gates against the present incumbent.

        A policy candidate that its model gate leaves open is evaluated as well, because people's outcomes decide whether it gets
        a trial. Other heads count only if the policy head intervenes already or has a candidate here that passed. If the policy
        candidate is outdated, no head is evaluated: it was trained to beat the policy that was deployed before.
        """
        main = self.versions.get(MAIN_HEAD)
        if main is not None and self.outdated(MAIN_HEAD):
            return []
        passed = [h for h, v in self.versions.items() if _passed_model_gate(v) and not self.outdated(h)]
        acts = MAIN_HEAD in passed or MAIN_HEAD in self.incumbents
        others = [h for h in passed if h != MAIN_HEAD and acts]
        return [MAIN_HEAD, *others] if main is not None and _worth_evaluating(main) else others

    def outdated(self, head: str) -> bool:
        """Tell whether the incumbent differs from the ``parent`` that the version was trained to beat (None: the reference)."""
        return self.versions[head].parent != self.incumbents.get(head)


@dataclass(frozen=True)
class Evaluation:
    """The heads of one charged evaluation, and the noised sums of its release.

    heads: empty if every version was left out. refusal: why nobody could be charged; then there is no release.
    """

    plan: EvaluationPlan
    heads: list[str]
    release: Release | None = None
    sums: Mapping[str, np.ndarray] = field(default_factory=dict)
    refusal: str = ""

    @property
    def needs_latency(self) -> bool:
        """Whether the verdict depends on the latency of decisions: the policy head was evaluated."""
        return self.release is not None and MAIN_HEAD in self.heads


def evaluation_ask(
    *, plan: EvaluationPlan, epsilon: float, delta: float, key: str, report: ReportProgress
) -> Evaluation:
    """Evaluate every head in one charged release, on everybody or on the people held out. Idempotent by ``key``.

    A version is left out if its model gate holds it back or its incumbent has changed. If no version is left, nobody is charged.
    """
    heads = plan.heads_to_evaluate()
    if not heads:
        return Evaluation(plan, heads)
    incumbent = plan.incumbents.get(MAIN_HEAD)
    try:
        release, sums = evaluation_release(
            key=key,
            loop_version=plan.lead.loop_version,
            candidate=_candidate(plan, heads),
            decisions=float(plan.policy.config["decisions"]),
            logged=LoggingPolicy(plan.explored_share, version_policy(incumbent) if incumbent else None),
            epsilon=epsilon,
            delta=delta,
            report=report,
        )
    except (BudgetExceeded, InsufficientData) as error:
        return Evaluation(plan, heads, refusal=sentence(f"The version could not be evaluated now: {error}"))
    return Evaluation(plan, heads, release, sums)


def versions_judge(*, evaluation: Evaluation, latency: Judgement | None) -> Callable[[], dict[str, Any]]:
    """Run the outcome gate for every head. A version that was left out, or that nobody had budget for, lacks evidence.

    Args:
        latency: the judgement of decision times; needed if ``evaluation.needs_latency``.
    Returns: a function that stores verdicts and metrics, and returns a summary. Its top-level keys are the lead head's.
    Raises: ValueError for a latency that is needed and missing.
    """
    if evaluation.needs_latency and latency is None:
        raise ValueError("the policy head was evaluated, so its verdict needs the decision times; give the latency")
    if evaluation.release is None:
        not_evaluated = GateResult("insufficient", evaluation.refusal, (), None)
        return lambda: _store(evaluation.plan, None, dict.fromkeys(evaluation.heads, not_evaluated))
    results = {head: _judged(evaluation, head, latency) for head in evaluation.heads}
    return lambda: _store(evaluation.plan, evaluation.release, results)


def _judged(evaluation: Evaluation, head: str, latency: Judgement | None) -> GateResult:
    plan = evaluation.plan
    terms = GateTerms(
        plan.lead.loop_version.spec,
        float(plan.policy.config["rival_value"]),
        attempts_before(plan.versions[head]) + 1,
        incumbent=head in plan.incumbents,
        heads=len(evaluation.heads),
        conceded=conceded_before(plan.incumbents.get(head), head),
        allowance=_allowance(plan),
    )
    if head == MAIN_HEAD:
        return _with_model_gate(plan.lead, outcome_gate(terms, evaluation.sums, latency))
    return sub_gate(terms, evaluation.sums, head)


def _with_model_gate(version: ModelVersion, outcome: GateResult) -> GateResult:
    """Return the outcome gate's result, left open by a model gate that the version did not pass."""
    if outcome.verdict == "fail" or _passed_model_gate(version):
        return outcome
    held = _held_back(version)
    reasons = [held.reason] if outcome.verdict == "pass" else [held.reason, outcome.reason]
    needed = [n for n in (held.needed_users, outcome.needed_users) if n is not None]
    return GateResult("insufficient", " ".join(reasons), outcome.judgements, max(needed, default=None))


def _allowance(plan: EvaluationPlan) -> tuple[float, float]:
    """Return mean and sd of the improvement's optimism, in reward scales. Held-out people owe none."""
    spec = plan.lead.loop_version.spec
    release = plan.lead.releases.filter(purpose=Purpose.TRAINING).order_by("-pk").first()
    if spec.evaluation_share or release is None:
        return 0.0, 0.0
    decisions = float(plan.policy.config["decisions"])
    return optimism_allowance(
        spec,
        people=release.noisy_users or 0.0,
        decisions=decisions,
        sigma=release_sigma(release),
        explored_share=float(release.parameters.get("explored_share", 1.0)),
    )


def _passed_model_gate(version: ModelVersion) -> bool:
    verdicts = [m.verdict for m in model_gate_metrics(version)]
    return bool(verdicts) and all(v == "pass" for v in verdicts)


def _worth_evaluating(version: ModelVersion) -> bool:
    """Tell whether a policy candidate passed its model gates, or came so near that outcomes may earn it a trial."""
    gates = [m.value or 0.0 for m in model_gate_metrics(version)]
    return bool(gates) and min(gates) >= LEAST_Z


def _held_back(version: ModelVersion) -> GateResult:
    """Report the model gate's z as metrics with a 90% interval: the gain is z posterior standard deviations above 0."""
    judgements = tuple(_model_judgement(version, m) for m in model_gate_metrics(version))
    if not judgements:
        return GateResult("insufficient", "The model gate has not tested this version; train a new version.", (), None)
    held = [j for j in judgements if j.verdict != "pass"]
    if not held:
        reason = "The model gate passed, but this head acts only when the policy head intervenes, and it does not intervene yet."
        return GateResult("insufficient", reason, judgements, None)
    needed = [j.needed_users for j in held if j.needed_users is not None]
    return GateResult("insufficient", " ".join(j.reason for j in held), judgements, max(needed, default=None))


def _model_judgement(version: ModelVersion, held: ModelMetric) -> Judgement:
    value, bar = held.value or 0.0, held.threshold or 0.0
    needed = None if held.verdict == "pass" else people_needed(value, bar, _people(version))
    people = f" A decision needs about {needed:,.0f} people." if needed is not None else ""
    reason = "" if held.verdict == "pass" else (
        f"The model gate holds the candidate back (z is {value:.3g}, the bar is {bar:.3g}): {sentence(held.reason)}{people}"
    )  # fmt: skip
    answer: VerdictWord = "pass" if held.verdict == "pass" else "insufficient"
    return Judgement(held.name, value, value - _Z90, value + _Z90, bar, None, answer, reason, needed)


def _people(version: ModelVersion) -> float:
    """Return the noised number of people behind the version, training and evaluation together.

    Rounds share their people, so the largest release counts and not the sum.
    """
    releases = version.releases.filter(loop_version=version.loop_version)
    training_people = max((r.noisy_users or 0.0 for r in releases), default=0.0)
    return training_people / (1.0 - version.loop_version.spec.evaluation_share)


def decision_latency(times: Floats) -> Judgement:
    """Compare the 95th percentile of single decision ``times`` (n,), in ms, with the latency bar.

    The upper bound is the order statistic that covers the percentile with 95% confidence (binomial).
    """
    from scipy.stats import binom

    ordered = np.sort(times)
    rank = min(int(binom.ppf(0.95, len(ordered), 1 - SLOW_SHARE)), len(ordered) - 1)
    value, low, high = float(np.quantile(ordered, 1 - SLOW_SHARE)), float(ordered[0]), float(ordered[rank])
    passed = high <= LATENCY_BAR_MS
    reason = f"The 95th percentile of decision times is at most {high:.3g} ms. The bar is {LATENCY_BAR_MS:g} ms."
    return Judgement("latency_ms", value, low, high, LATENCY_BAR_MS, None, "pass" if passed else "fail", reason, None)


def _candidate(plan: EvaluationPlan, heads: list[str]) -> EvaluationCandidate:
    arrays = version_arrays(plan.policy)
    return EvaluationCandidate(
        policy=version_policy(plan.policy),
        rival=_rival(plan, MAIN_HEAD),
        reward=arrays["reward"],
        subs={h: _sub_candidate(plan, h) for h in heads if h != MAIN_HEAD},
        main=MAIN_HEAD in heads,
        intervention_rate=float(plan.policy.config["intervention_rate"]),
    )


def _sub_candidate(plan: EvaluationPlan, head: str) -> SubCandidate:
    version = plan.versions[head]
    return SubCandidate(version_policy(version), _rival(plan, head), version_arrays(version)["weights"])


def _rival(plan: EvaluationPlan, head: str) -> LinearPolicy:
    incumbent = plan.incumbents.get(head)
    return version_policy(incumbent) if incumbent else reference_policy(plan.lead.loop_version.spec, head)


@transaction.atomic
def _store(plan: EvaluationPlan, release: Release | None, results: Mapping[str, GateResult]) -> dict[str, Any]:
    summaries = {h: _store_head(v, release, results.get(h), plan.outdated(h)) for h, v in plan.versions.items()}
    lead = plan.lead.head
    return summaries[lead] | {"heads": {h: summary for h, summary in summaries.items() if h != lead}}


def _store_head(
    version: ModelVersion, release: Release | None, gate: GateResult | None, outdated: bool
) -> dict[str, Any]:
    """Store one head's verdict. If only the model gate ran, its metrics are already stored with the version."""
    attempt = version.verdicts.count() + 1 if gate is None else attempts_before(version) + 1
    result = gate or (GateResult("insufficient", _OUTDATED, (), None) if outdated else _held_back(version))
    GateVerdict.objects.create(
        version=version,
        attempt=attempt,
        release=release if gate else None,
        verdict=result.verdict,
        reason=result.reason,
        needed_users=result.needed_users,
    )
    if gate is not None:
        for judgement in result.judgements:
            metric_store(version, judgement, source=OUTCOME_GATE)
    judgement_record(version)
    return {
        "verdict": result.verdict,
        "reason": result.reason,
        "needed_users": result.needed_users,
        "attempt": attempt,
        "metrics": [asdict(j) for j in result.judgements],
    }


def metric_store(version: ModelVersion, judgement: Judgement, *, source: str) -> None:
    """Store one judged metric of a version; a later judgement from the same source replaces it."""
    finite = {n: v if v is not None and np.isfinite(v) else None for n, v in asdict(judgement).items() if n in _NUMBERS}
    ModelMetric.objects.update_or_create(
        version=version,
        source=source,
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
