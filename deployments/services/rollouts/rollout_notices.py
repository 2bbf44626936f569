"""Tell operators what happens to a rollout. Call these before the Trust Vault's event, which takes the transaction's last lock.

A reason that an operator typed is not told, because it may name people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.sentences import clause
from deployments.engine.rollouts.strategies import STRATEGIES
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, DeploymentState, Incident, ServingSlot
from notices.services.record import notice_record, record_page
from training.models import ModelVersion

_PROGRAMS = ("rollout tick", "health check")  # actors whose reasons are the platform's own words


def tell_started(deployment: Deployment, slot: ServingSlot, share_bp: int) -> None:
    """Tell that a deployment began, with the share of the people who get the version."""
    facts = {"share": _percent(share_bp) if share_bp else "none"}
    _tell("rollout_started", deployment, slot, deployment.version, "once", facts)


def tell_changed(
    rollout: Deployment, slot: ServingSlot, version: ModelVersion, changes: Mapping[str, Any], *, by: str, reason: str
) -> None:
    """Tell that a rollout reached a stage, was paused, goes on, or waits for an operator.

    Args: slot: with the candidate's new share. changes: the changed columns of the rollout.
    """
    moment = f"at generation {slot.generation}"
    if "stage" in changes:
        facts = {"share": _percent(slot.weight_bp), "stage": rollout.stage + 1}
        _tell("rollout_stage", rollout, slot, version, moment, facts)
    elif changes.get("state") == DeploymentState.PAUSED:
        cause = clause(reason) if by in _PROGRAMS else "an operator decided so"
        _tell("rollout_paused", rollout, slot, version, moment, {"cause": cause})
    elif changes.get("state") == DeploymentState.IN_PROGRESS:
        _tell("rollout_resumed", rollout, slot, version, moment, {})
    elif changes.get("waits_for"):
        _tell(
            "rollout_waiting",
            rollout,
            slot,
            version,
            moment,
            {"cause": f"its evidence is enough to {changes['waits_for']}"},
        )


def tell_ended(rollout: Deployment, slot: ServingSlot, version: ModelVersion, outcome: str) -> None:
    """Tell that a rollout ended without harm."""
    _tell("rollout_ended", rollout, slot, version, "once", {"outcome": outcome})


def tell_incident(incident: Incident, slot: ServingSlot, version: ModelVersion, serving: ModelVersion) -> None:
    """Tell that a version was taken back, and which one serves now."""
    notice_record(
        kind="incident",
        key=f"incident {incident.pk}",
        subject=str(slot),
        facts={
            "version": version.name,
            "cause": clause(incident.reason) if incident.automatic else "an operator decided so",
            "serving": serving.name if serving.is_learned else f"the reference ({serving.name})",
        },
        link=record_page(incident),
    )


def _tell(
    kind: str, deployment: Deployment, slot: ServingSlot, version: ModelVersion, moment: str, facts: dict[str, Any]
) -> None:
    known = STRATEGIES.get(deployment.strategy)
    notice_record(
        kind=kind,
        key=f"deployment {deployment.pk} {kind} {moment}",
        subject=str(slot),
        facts={"version": version.name, "strategy": known.label if known else deployment.strategy, **facts},
        link=record_page(deployment),
    )


def _percent(share_bp: int) -> str:
    return f"{share_bp * 100 / BASIS_POINTS:g}%"
