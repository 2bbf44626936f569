"""Cards of the training dashboard about rollbacks and stopped trials, each with whether it can be undone."""

from __future__ import annotations

from typing import Any

from core.errors import R3alError
from core.sentences import sentence
from deployments.engine.rollouts.strategies import FULL_ROLLOUT, SHADOW_TEST
from deployments.models import Incident
from deployments.services.rollouts.rollback import undo_check

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
        "is_trial": is_tried,
        "is_shadow": incident.deployment.strategy == SHADOW_TEST,
        "reason": sentence(incident.reason),
        "can_undo": not why_not,
        "why_not": "" if is_tried or not why_not else sentence(f"It cannot be undone: {why_not}"),
    }


def _why_not(incident: Incident) -> str:
    try:
        undo_check(incident)
    except R3alError as error:
        return str(error)
    return ""
