"""Cards of the training dashboard about apprenticeships: what is known of one in progress, and how the last ones ended."""

from __future__ import annotations

from typing import Any

from deployments.engine.rollouts.apprentice import (
    PROMOTES_NOTHING,
    ApprenticeFacts,
    gain_sentences,
    imitated_of,
    sent_of,
)
from deployments.engine.rollouts.strategies import APPRENTICE
from deployments.engine.rollouts.transitions import ACTIVE_STATES
from deployments.models import Deployment
from deployments.selectors.shadow import last_check
from deployments.selectors.slots import rollouts_now
from r3al_project.turns.rollout_acts import ROLLOUT_ACTS
from r3al_project.turns.rollout_progress import beside_ends
from training.models import VersionState

_ENDED = 2


def apprentice_cards() -> list[dict[str, Any]]:
    """Return a card for each apprenticeship in progress, and for the newest ones that ended while their version still waits."""
    ended = Deployment.objects.filter(strategy=APPRENTICE, version__state=VersionState.EVALUATING)
    ended = ended.exclude(state__in=ACTIVE_STATES).exclude(slot__shadow__isnull=False)
    related = ended.select_related("slot__loop", "version__loop_version__loop", "previous__loop_version__loop")
    return [_card(rollout) for rollout in (*rollouts_now(APPRENTICE), *related.order_by("-pk")[:_ENDED])]


def _card(rollout: Deployment) -> dict[str, Any]:
    check, active = last_check(rollout), rollout.state in ACTIVE_STATES
    facts = ApprenticeFacts.from_json(check.facts) if check else ApprenticeFacts(0, 0)
    return {
        "rollout": rollout,
        "active": active,
        "state": rollout.get_state_display(),
        "stable": rollout.previous.name if rollout.previous and rollout.previous.is_learned else "the reference",
        "looked": check is not None,
        "sent": sent_of(facts),
        "imitated": imitated_of(facts.imitation),
        "gain": gain_sentences(facts.gain),
        "next": PROMOTES_NOTHING,
        "result": f"{check.label[:1].upper()}{check.label[1:]}." if check else "",
        "until": _until(rollout) if active else "",
        "acts": [{"act": a, "effect": a.effect_on(rollout)} for a in ROLLOUT_ACTS.values() if a.fits(rollout)]
        if active
        else [],
    }


def _until(rollout: Deployment) -> str:
    if rollout.state == "paused":
        return "It is paused, and everybody gets the stable version. Its time begins anew when it is resumed."
    return f"It ends by itself on {beside_ends(rollout):%Y-%m-%d at %H:%M} UTC."
