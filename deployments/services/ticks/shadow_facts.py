"""Read what is known of a shadow test: its counts, and the candidate's value by decisions whose actions were drawn at random.

People's outcomes are opened here, inside the trust boundary. Nothing but the estimate over all people leaves.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from core import clock
from deployments.engine.rollouts.off_policy import DrawnDecisions, OffPolicyValue, off_policy_value
from deployments.engine.rollouts.shadow import ShadowFacts
from deployments.models import Deployment, ServingSlot
from deployments.selectors.shadow import shadow_began, shadow_counts
from deployments.services.serving.policy_cache import policy_of
from deployments.services.ticks.opened_decisions import SEALED, SealedDecision, decisions_opened
from loops.engine.policies.linear import LinearPolicy, reference_policy
from loops.models import LoopVersion
from loops.selectors import loop_version_current
from privacy.models import Choice
from privacy.selectors.keys import ciphers_known

_MOST_ROWS = 200_000  # of the newest drawn decisions, so that a tick stays short
_FACTS = (*SEALED, "action", "propensity")


def shadow_facts(rollout: Deployment, slot: ServingSlot, last: dict[str, Any] | None) -> ShadowFacts:
    """Return the facts of a shadow test now. ``last``: those of the last check, whose value holds for the rest of its day."""
    days = (clock.now() - shadow_began(rollout)) // timedelta(days=1)
    same = last is not None and last["days"] == days
    value = OffPolicyValue.from_json(last["value"]) if last is not None and same else shadow_value(rollout, slot)
    overdue = rollout.deadline_at is not None and clock.now() >= rollout.deadline_at
    return ShadowFacts(days, rollout.extended, shadow_counts(rollout), value, overdue)


def shadow_value(rollout: Deployment, slot: ServingSlot) -> OffPolicyValue:
    """Estimate the candidate's value by the closed, explored decisions of the slot's head since the test began."""
    version = loop_version_current(slot.loop.name)
    candidate = policy_of(rollout.version_id, version)
    if candidate is None:
        return OffPolicyValue(0, "the candidate does not fit the loop's present version")
    stable = policy_of(slot.stable_id, version) or reference_policy(version.spec, slot.head)
    return off_policy_value(_drawn(rollout, slot, version, candidate, stable))


def _drawn(
    rollout: Deployment, slot: ServingSlot, version: LoopVersion, candidate: LinearPolicy, stable: LinearPolicy
) -> DrawnDecisions:
    """Return the drawn decisions with a reward. People who were erased, and what cannot be opened, are left out."""
    chosen = Choice.objects.filter(
        head=slot.head,
        explored=True,
        learnable=True,
        decision__loop_version=version,
        decision__decided_at__gte=shadow_began(rollout),
        decision__served__closed_at__isnull=False,
        decision__outcome__isnull=False,
    )
    keys = ciphers_known(set(chosen.values_list("decision__person_id", flat=True)))
    rows = [
        row for row in chosen.order_by("-pk").values_list(*_FACTS)[:_MOST_ROWS] if row[0] in keys
    ]  # a person without a key was erased meanwhile
    states, reward = decisions_opened(version.spec, [SealedDecision(*row[:4]) for row in rows], keys)
    usable = np.isfinite(reward) & np.isfinite(states).all(axis=1)
    person, action, propensity = (np.array([row[i] for row in rows], dtype=float)[usable] for i in (0, 4, 5))
    return DrawnDecisions(
        person=person.astype(np.int64),
        action=action.astype(np.int64),
        target=candidate.actions(states[usable]),
        rival=stable.actions(states[usable]),
        propensity=propensity,
        reward=reward[usable],
    )
