"""Derive the health of a version from stored evidence, as a pure function that can recompute every verdict.

With no metric beyond its threshold and no proven harm, a version is healthy. With either it is degraded, and with three or more
metrics beyond it is critical. Too few people are never a good sign, and the report says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from deployments.engine.health.evidence import Evidence
from deployments.engine.health.metrics import LEAST_PEOPLE_SEEN, Metric, metrics_of
from deployments.engine.health.triggers import Trigger, triggers_of

HealthStatus = Literal["healthy", "degraded", "critical"]
_CRITICAL = 3  # metrics beyond their thresholds


@dataclass(frozen=True)
class HealthReport:
    """Hold the health state, everything that it is derived from, and recommendations for the operator.

    ``is_candidate``: whether the version is tried beside the stable one.
    """

    state: HealthStatus
    metrics: tuple[Metric, ...]
    triggers: tuple[Trigger, ...]
    recommendations: tuple[str, ...] = field(default=())
    is_candidate: bool = False

    @property
    def must_roll_back(self) -> bool:
        """Tell whether a trigger has fired, or a version that everybody has is critical.

        A candidate is taken back by comparisons alone: an incident that hits both arms alike is not its fault.
        """
        return any(t.fires for t in self.triggers) or (self.state == "critical" and not self.is_candidate)

    def as_json(self) -> dict[str, list[Any]]:
        """Return metrics, triggers and recommendations as JSON values."""
        return {
            "metrics": [asdict(m) for m in self.metrics],
            "triggers": [asdict(t) for t in self.triggers],
            "recommendations": list(self.recommendations),
        }


def health_of(evidence: Evidence) -> HealthReport:
    """Derive the health of a version from the outcomes of its people."""
    metrics, triggers = metrics_of(evidence), triggers_of(evidence)
    alarms = [m for m in metrics if m.verdict == "beyond"]
    proven = [t for t in triggers if t.proven]
    critical = sum(m.counts for m in alarms) >= _CRITICAL
    state: HealthStatus = "critical" if critical else "degraded" if alarms or proven else "healthy"
    is_candidate = evidence.other_arm == "trial"
    return HealthReport(state, metrics, triggers, _recommendations(state, metrics, triggers, evidence), is_candidate)


_ADVICE = {
    "empathy": "Empathy is below its threshold. Check the states in which the version intervenes, or roll it back.",
    "false_intervention": "People dismiss too many interventions. Lower the intervention rate, or roll the version back.",
    "latency": "Decisions are slow. Check the database and the number of web workers.",
    "reward_stability": "Reward is lower than in the comparison. Train on the newest outcomes, or roll the version back.",
}
_PROVEN_ONLY = {
    "silence": "People answer less than in the comparison, and that is proven. Silence can hide harm, so pause the version "
    "and find out why.",
}


def _recommendations(
    state: HealthStatus, metrics: tuple[Metric, ...], triggers: tuple[Trigger, ...], evidence: Evidence
) -> tuple[str, ...]:
    advice = [_ADVICE[m.name] + _time(m) for m in metrics if m.verdict == "beyond"]
    advice += [_said(t, evidence) for t in triggers if t.proven]
    undecided = [m for m in metrics if m.verdict == "too_few"]
    if undecided:
        counts = ", ".join(f"{m.name.replace('_', ' ')} ({m.n} of {m.minimum_n})" for m in undecided)
        advice.append(f"There is not enough data yet for {counts}. The version is not known to be good.")
    advice += _about_the_other_arm(evidence)
    if state == "healthy" and not undecided:
        advice.append("Every metric is within its threshold. No action is needed.")
    return tuple(advice)


def _time(metric: Metric) -> str:
    return " So far only people's first days are known." if metric.over == "first day" else ""


def _said(trigger: Trigger, evidence: Evidence) -> str:
    name = trigger.name.replace("_", " ")
    if trigger.fires:
        ends = "the trial ends" if evidence.other_arm == "trial" else "the version is rolled back"
        return f"The trigger {name} fired, so {ends}."
    small = (
        f"The version is proven to be worse ({name}), but by too little to roll it back. Train on the newest outcomes."
    )
    return _PROVEN_ONLY.get(trigger.name, small)


def _about_the_other_arm(evidence: Evidence) -> list[str]:
    if evidence.other_arm is None:
        return ["Nobody is held back, so relative changes cannot be measured. Deploy the next version with a holdback."]
    people = evidence.weeks.empathy
    ours, theirs = int(people.ours.sum()), int((~people.ours).sum())
    if theirs or ours < LEAST_PEOPLE_SEEN:
        return []
    return [
        "The comparison group has had no interventions, so empathy and false interventions have only their thresholds to meet."
    ]
