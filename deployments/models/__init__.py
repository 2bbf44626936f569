"""Database records of the deployments floor."""

from deployments.models.experiment import AbExperiment
from deployments.models.health import EvidenceUnit, EvidenceWeek, HealthCheck, HealthState, Incident, LatencyMinute
from deployments.models.rollout_act import RolloutAct
from deployments.models.rollout_check import RolloutCheck
from deployments.models.shadow_minute import ShadowMinute
from deployments.models.slot import (
    DEPLOY_VERSION,
    OVERRIDE_COMPARISON,
    ROLLBACK_VERSION,
    Deployment,
    DeploymentState,
    ServingSlot,
)

__all__ = [
    "DEPLOY_VERSION",
    "OVERRIDE_COMPARISON",
    "ROLLBACK_VERSION",
    "AbExperiment",
    "Deployment",
    "DeploymentState",
    "EvidenceUnit",
    "EvidenceWeek",
    "HealthCheck",
    "HealthState",
    "Incident",
    "LatencyMinute",
    "RolloutAct",
    "RolloutCheck",
    "ServingSlot",
    "ShadowMinute",
]
