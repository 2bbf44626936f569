"""The outcome gate as a service: charge the evaluation people, judge the sums, write the verdict beside the version."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from django.db import transaction

from loops.engine.policy import LinearPolicy, reference_policy
from privacy.engine.evaluate import Candidate
from privacy.models import Release
from privacy.services.evaluate import evaluation_release
from privacy.services.moments import Report
from training.engine.model_gate import people_needed
from training.engine.outcome_gate import GateResult, Judgement, Terms, outcome_gate
from training.models import GateVerdict, ModelMetric, ModelVersion
from training.selectors import attempts_before, model_gate_metric, version_arrays, version_policy

OUTCOME_GATE = "outcome_gate"
LATENCY_BAR_MS = 200.0
_LATENCY_CALLS = 400
_Z90 = 1.6449  # the normal distribution's 95% quantile


def version_judge(
    *, version: ModelVersion, epsilon: float, delta: float, key: str, report: Report
) -> Callable[[], dict[str, Any]]:
    """Ask the gate about ``version``; the returned write stores verdict and metrics.

    A version that its own model gate holds back is not put to the people: nobody is charged, and the answer is
    insufficient evidence.
    """
    held = model_gate_metric(version)
    attempt = attempts_before(version) + 1
    if held is None or held.verdict != "pass":
        return lambda: _store(version, attempt, None, _held_back(version, held))
    candidate = _candidate(version)
    release, sums = evaluation_release(
        key=key,
        loop_version=version.loop_version,
        head=version.head,
        candidate=candidate,
        decisions=float(version.config["decisions"]),
        epsilon=epsilon,
        delta=delta,
        report=report,
    )
    report(0.9, "timing decisions")
    terms = Terms(version.loop_version.spec, float(version.config["reference_value"]), attempt)
    result = outcome_gate(terms, sums, decision_latency(candidate.policy, len(terms.spec.features)))
    return lambda: _store(version, attempt, release, result)


def _held_back(version: ModelVersion, held: ModelMetric | None) -> GateResult:
    """The model gate's own number as the one metric: z with its 90% interval (a gain is z posterior deviations above 0)."""
    if held is None or held.value is None:
        return GateResult("insufficient", "The model gate was not asked; train a new version.", (), None)
    reason = (
        f"The model gate holds the candidate back (z {held.value:.2f}, the bar is {held.threshold:g}): {held.reason}."
    )
    needed = people_needed(held.value, held.threshold or 0.0, _people(version))
    judged = Judgement(
        held.name, held.value, held.value - _Z90, held.value + _Z90, held.threshold or 0.0, None, "insufficient", reason, needed
    )  # fmt: skip
    return GateResult("insufficient", reason, (judged,), needed)


def _people(version: ModelVersion) -> float:
    """People (training and evaluation together) behind the version's releases, as they were noised."""
    trained = sum(r.noisy_users or 0.0 for r in version.releases.all())
    return trained / (1.0 - version.loop_version.spec.evaluation_share)


def decision_latency(policy: LinearPolicy, width: int) -> Judgement:
    """p95 of single decisions, timed here and now; the upper bound is the order statistic that covers p95 with 95% (binomial)."""
    from scipy.stats import binom

    states = np.zeros((1, width))
    times = np.empty(_LATENCY_CALLS)
    for i in range(_LATENCY_CALLS):
        begun = time.perf_counter()
        policy.probabilities(states)
        times[i] = (time.perf_counter() - begun) * 1e3
    times.sort()
    rank = min(int(binom.ppf(0.95, _LATENCY_CALLS, 0.95)), _LATENCY_CALLS - 1)
    value, low, high = float(np.quantile(times, 0.95)), float(times[0]), float(times[rank])
    passed = high <= LATENCY_BAR_MS
    reason = f"The 95th percentile of a decision takes at most {high:.3g} ms; the bar is {LATENCY_BAR_MS:g} ms."
    return Judgement("latency_ms", value, low, high, LATENCY_BAR_MS, None, "pass" if passed else "fail", reason, None)


def _candidate(version: ModelVersion) -> Candidate:
    arrays = version_arrays(version)
    return Candidate(
        policy=version_policy(version),
        reference=reference_policy(version.loop_version.spec, version.head),
        reward=arrays["reward"],
        continuation=arrays["continuation"],
        value=arrays["value"],
        gamma=float(version.config["gamma"]),
    )


@transaction.atomic
def _store(version: ModelVersion, attempt: int, release: Release | None, result: GateResult) -> dict[str, Any]:
    GateVerdict.objects.create(
        version=version,
        attempt=attempt,
        release=release,
        verdict=result.verdict,
        reason=result.reason,
        needed_users=result.needed_users,
    )
    if release is not None:  # without one, only the model gate spoke, and its word is stored beside the version already
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
