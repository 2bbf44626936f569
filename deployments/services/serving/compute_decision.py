"""Compute a decision from what was read: state, availability, choices and answer.

Nothing is read from or written to the database, and every draw comes from the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from deployments.engine.action_selection import select_actions
from deployments.engine.arm_assignment import head_policies_for
from deployments.engine.decision_state import compose_state
from deployments.services.serving.policy_cache import ServedLoop
from deployments.services.serving.request_keys import decision_keys
from deployments.services.serving.requests import DecisionRequest, read_context
from deployments.services.serving.responses import RenderedAnswer, render_answer
from loops.engine.availability import Moment, unavailable
from loops.engine.reward import time_to_show
from loops.engine.state.clock import plausible_day
from privacy.engine.serving_state import OpenedState, PersonServingState
from privacy.services.records.serving_write import DecisionToWrite


def compute_decision(
    serving: ServedLoop,
    request: DecisionRequest,
    person: PersonServingState,
    opened: OpenedState,
    request_key: bytes,
    now: datetime,
) -> tuple[DecisionToWrite, RenderedAnswer]:
    """Compute a decision for a person and render its answer.

    Args:
        opened: the person's decrypted serving state.
        request_key: 16 bytes that identify the request.
        now: the server's time, in UTC.
    Raises: InputError for a request that does not fit the loop.
    """
    spec, version, main = serving.spec, serving.loop_version, serving.main
    local = request.local_time or now
    context, keys = read_context(spec, serving.dynamics, request), decision_keys(person.person_key, request)
    day = plausible_day(local.date(), now.date(), person.local_day)
    same_day = person.local_day == day
    state, memory = compose_state(
        serving.dynamics, context.values, opened.newest, opened.at_decision,
        at=local.time(), intervened=person.last_intervened, same_day=same_day,
    )  # fmt: skip
    moment = Moment.of(local, person.interventions_today if same_day else 0, person.last_intervention_at, now)
    reason = unavailable(spec, moment, state)
    choices = [] if reason is not None else select_actions(
        head_policies_for(serving.arms, person.person_key, now), state,
        seed=keys.seed, exploration=serving.exploration, eligible=context.eligible,
        own=_own_in_force(serving, context.own) if context.own else None,
    )  # fmt: skip
    closes_at = now + timedelta(seconds=spec.reward.deadline_seconds)
    decided = DecisionToWrite(
        person=person,
        cipher=opened.cipher,
        loop_version=version,
        now=now,
        local_day=day,
        request_key=request_key,
        public_id=keys.public_id,
        seed=keys.seed,
        exploration_bp=main.exploration_bp,
        unavailable=reason or "",
        clamped=len(context.clamped),
        expires_at=min(now + time_to_show(spec, {c.head: c.actions[c.action] for c in choices}), closes_at),
        closes_at=closes_at,
        state=state,
        memory=memory,
        observed_at=now if request.context else person.observed_at,
        intervened=bool(choices) and choices[0].intervenes,
        choices=choices,
    )
    answer = render_answer(version, request.request_id, decided, state, context.clamped, choices, stable=main.stable)
    return decided, answer


def _own_in_force(serving: ServedLoop, own: Mapping[str, int]) -> dict[str, int]:
    """Return the app's own choices for the heads that an apprentice watches. Elsewhere the app's choice changes nothing."""
    return {head: own[head] for head in serving.app_chooses if head in own}
