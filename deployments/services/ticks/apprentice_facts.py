"""Read what is known of an apprenticeship: the app's own choices, what the version would have chosen, and what people lived.

People's states and outcomes are opened here, inside the trust boundary. Nothing but estimates over ten people or more leaves.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
from django.db.models import Count, Q, QuerySet

from core import clock
from core.arrays import Bools
from deployments.engine.rollouts.apprentice import ApprenticeFacts
from deployments.engine.rollouts.imitation import (
    NOBODY_SEEN,
    Imitation,
    ImitationGain,
    OwnDecisions,
    gain_of,
    imitation_of,
)
from deployments.models import Deployment, ServingSlot
from deployments.selectors.shadow import shadow_began, shadow_counts
from deployments.services.serving.policy_cache import policy_of
from deployments.services.ticks.opened_decisions import SEALED, SealedDecision, decisions_opened
from loops.engine.policies.linear import LinearPolicy
from loops.engine.reward import largest_total
from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from loops.selectors import loop_version_current
from privacy.engine.head_choice import OWN_CHOICE
from privacy.models import Choice
from privacy.selectors.keys import ciphers_known

_MOST_ROWS = 10_000  # of the newest choices of the app, so that a tick stays short
_FACTS = (*SEALED, "action", "eligible", "decision__served__closed_at")


def apprentice_facts(rollout: Deployment, slot: ServingSlot, last: dict[str, Any] | None) -> ApprenticeFacts:
    """Return the facts of an apprenticeship now.

    Args:
        last: the facts of the last check since it began. What they say of choices holds for the rest of their day.
    """
    days = (clock.now() - shadow_began(rollout)) // timedelta(days=1)
    overdue = rollout.deadline_at is not None and clock.now() >= rollout.deadline_at
    counts = shadow_counts(rollout)
    if last is not None and last["days"] == days:
        known = ApprenticeFacts.from_json(last)
        own, without, imitation, gain = known.own, known.without, known.imitation, known.gain
    else:
        own, without = _sent(rollout, slot)
        imitation, gain = imitated(rollout, slot)
    return ApprenticeFacts(days, rollout.extended, counts, own, without, imitation, gain, overdue)


def imitated(rollout: Deployment, slot: ServingSlot) -> tuple[Imitation, ImitationGain]:
    """Compare what the version would have chosen with the app's choices since the apprenticeship began."""
    version = loop_version_current(slot.loop.name)
    policy, spec = policy_of(rollout.version_id, version), version.spec
    if policy is None:
        return NOBODY_SEEN, ImitationGain(0, "the version does not fit the loop's present version")
    own = _own_decisions(_chosen(rollout, slot).filter(fallback=OWN_CHOICE), version, policy, slot.head)
    return imitation_of(own, spec.head(slot.head).actions), gain_of(own, largest_total(spec))


def _sent(rollout: Deployment, slot: ServingSlot) -> tuple[int, int]:
    """Return how many decisions of the head came with the app's own choice, and how many without."""
    by_app = Q(fallback=OWN_CHOICE)
    counted = _chosen(rollout, slot).aggregate(own=Count("pk", filter=by_app), without=Count("pk", filter=~by_app))
    return counted["own"], counted["without"]


def _chosen(rollout: Deployment, slot: ServingSlot) -> QuerySet[Choice]:
    """Return the choices of the slot's head since the apprenticeship began, or until it ended."""
    chosen = Choice.objects.filter(
        head=slot.head,
        decision__loop_version__loop=slot.loop_id,
        decision__served__isnull=False,
        decision__decided_at__gte=shadow_began(rollout),
    )
    return chosen if rollout.finished_at is None else chosen.filter(decision__decided_at__lte=rollout.finished_at)


def _own_decisions(chosen: QuerySet[Choice], version: LoopVersion, policy: LinearPolicy, head: str) -> OwnDecisions:
    """Return the app's own choices. People who were erased, and states that cannot be opened, are left out."""
    chosen = chosen.filter(decision__loop_version=version)
    keys = ciphers_known(set(chosen.values_list("decision__person_id", flat=True)))
    found = chosen.order_by("-pk").values_list(*_FACTS)[:_MOST_ROWS]
    rows = [row for row in found if row[0] in keys]  # a person without a key was erased meanwhile
    sealed = [SealedDecision(row[0], row[1], row[2], None if row[6] is None else row[3]) for row in rows]
    states, rewards = decisions_opened(version.spec, sealed, keys)
    usable = np.isfinite(states).all(axis=1)
    person, action = (np.array([row[i] for row in rows], dtype=np.int64)[usable] for i in (0, 4))
    allowed = _allowed(version.spec, head, [row[5] for row in rows])[usable]
    return OwnDecisions(person, action, policy.actions(states[usable], allowed), states[usable], rewards[usable])


def _allowed(spec: LoopSpec, head: str, masks: list[int | None]) -> Bools:
    """Return which actions (n, K) a request allowed, from its bit mask (None: all)."""
    width = len(spec.head(head).actions)
    bits = np.array([(1 << width) - 1 if mask is None else mask for mask in masks], dtype=np.int64)
    return np.asarray(bits[:, None] >> np.arange(width) & 1, dtype=np.bool_)
