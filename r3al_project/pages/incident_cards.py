"""Cards of the training dashboard about rollbacks and stopped rollouts, each with whether it can be undone."""

from __future__ import annotations

from typing import Any

from core.errors import R3alError
from core.sentences import sentence
from deployments.engine.rollouts.strategies import FULL_ROLLOUT, STRATEGIES, TRIAL
from deployments.models import Deployment, Incident
from deployments.services.rollouts.rollback import undo_check
from training.models import VersionState

_INCIDENTS = 3


def incident_cards() -> list[dict[str, Any]]:
    """Return the newest incidents, newest first."""
    found = Incident.objects.select_related("slot__loop", "version__loop_version__loop", "deployment")
    return [_card(incident) for incident in found.order_by("-id")[:_INCIDENTS]]


def _card(incident: Incident) -> dict[str, Any]:
    """Return an incident, and why it cannot be undone. A stopped rollout says nothing of it: it deployed nothing."""
    is_tried = incident.deployment.strategy != FULL_ROLLOUT
    why_not = _why_not(incident)
    return {
        "incident": incident,
        "title": f"{_label(incident.deployment)} stopped" if is_tried else "Rolled back",
        "can_retry": is_tried and not incident.harmful and incident.version.state == VersionState.ARCHIVED,
        "reason": sentence(incident.reason),
        "can_undo": not why_not,
        "why_not": "" if is_tried or not why_not else sentence(f"It cannot be undone: {why_not}"),
    }


def _label(rollout: Deployment) -> str:
    label = "trial" if rollout.strategy == TRIAL else STRATEGIES[rollout.strategy].label
    return f"{label[:1].upper()}{label[1:]}"


def _why_not(incident: Incident) -> str:
    try:
        undo_check(incident)
    except R3alError as error:
        return str(error)
    return ""
