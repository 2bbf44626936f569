"""Rebuild the answer of an earlier request from its stored decision, for a retry."""

from __future__ import annotations

from core.errors import KeyReused
from deployments.engine.action_selection import HeadPolicy, action_values
from deployments.services.serving.policy_cache import ServedLoop, stored_head_policies
from deployments.services.serving.request_keys import decision_keys
from deployments.services.serving.requests import DecisionRequest, read_context
from deployments.services.serving.responses import RenderedAnswer, render_answer
from loops.engine.state.scalar import ScalarDynamics
from privacy.engine.head_choice import HeadChoice
from privacy.engine.serving_state import PersonServingState
from privacy.models import Choice, ServedDecision
from privacy.selectors.keys import cipher_of, state_of


def replayed_answer(serving: ServedLoop, person: PersonServingState, request: DecisionRequest) -> RenderedAnswer | None:
    """Render the answer of a request that was answered before, or return None if its rows were erased since.

    Raises: KeyReused when the request body differs from the first one.
    """
    if not person.wrapped:
        return None
    served = ServedDecision.objects.select_related("decision").filter(pk=person.original).first()
    if served is None:
        return None
    if bytes(served.seed) != decision_keys(person.person_key, request).seed:
        raise KeyReused("this requestId was used before with another body; send a new request with a new requestId")
    decision, version, dynamics = served.decision, serving.loop_version, serving.dynamics
    if decision.loop_version_id != version.pk:
        version = decision.loop_version
        dynamics = ScalarDynamics(version.spec)
    state = state_of(decision, cipher_of(person.person_id, person.wrapped, person.master_version)).tolist()
    clamped = read_context(version.spec, dynamics, request).clamped
    choices = {choice.head: choice for choice in decision.choices.all()}
    policies = stored_head_policies(version, choices)
    values = action_values([head_policy.policy for head_policy in policies], state)
    answered = [_head_choice(choices[p.head], p, v) for p, v in zip(policies, values, strict=True)]
    return render_answer(version, request.request_id, served, state, clamped, answered, stable=serving.main.stable)


def _head_choice(choice: Choice, head_policy: HeadPolicy, values: tuple[float, ...]) -> HeadChoice:
    """Rebuild a stored choice as it was answered, with recomputed action values."""
    return HeadChoice(
        head=choice.head,
        action=choice.action,
        propensity=choice.propensity,
        marginal_propensity=choice.marginal_propensity,
        explored=choice.explored,
        learnable=choice.learnable,
        version=choice.version,
        generation=head_policy.generation,
        eligible=choice.eligible,
        fallback=choice.fallback,
        values=values,
        actions=head_policy.actions,
        reference=head_policy.policy.reference,
    )
