"""Write down what people lived under a deployed version, so that its gates can be compared with it."""

from __future__ import annotations

from deployments.engine.health import Evidence, HealthReport, Metric
from deployments.models import ServingSlot
from loops.engine.heads import MAIN_HEAD
from training.models import ModelVersion
from training.services.lived import lived_record

_REWARD = "reward_stability"  # health's name of the reward difference from the comparison group
_GATE_NAMES = {"empathy": "empathy", "false_intervention": "false_intervention", _REWARD: "improvement"}


def lived_write(slot: ServingSlot, evidence: Evidence, health: HealthReport) -> None:
    """Store each metric of a health report that the version's gate estimated too, if enough people lived it.

    A reward difference is that of the gate only against the gate's own rival. During a trial nothing is stored, because the
    trial releases noised sums of the same people. Gates make no such statement about heads other than policy.
    """
    if slot.head != MAIN_HEAD or slot.candidate_id is not None or not slot.stable.is_learned:
        return
    for metric in health.metrics:
        alike = metric.name != _REWARD or _is_against_rival(slot, evidence, metric)
        if metric.name in _GATE_NAMES and alike and metric.value is not None and metric.verdict != "too_few":
            lived_record(
                version=slot.stable,
                name=_GATE_NAMES[metric.name],
                value=metric.value,
                low=metric.low,
                high=metric.high,
                users=metric.n,
            )


def _is_against_rival(slot: ServingSlot, evidence: Evidence, metric: Metric) -> bool:
    """Tell whether a reward difference is from the policy that the version was to beat, at the same time.

    With too small a holdback, health compares a version with its own first weeks.
    """
    if evidence.holdback is None or evidence.holdback.arm.reward.size < metric.minimum_n:
        return False
    return slot.holdback is not None and _is_rival(slot.holdback, slot.stable)


def _is_rival(other: ModelVersion, version: ModelVersion) -> bool:
    return other.pk == version.parent_id if version.parent_id is not None else not other.is_learned
