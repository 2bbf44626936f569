"""A retry gets the answer of the first request again, from the rows of its decision."""

from __future__ import annotations

from core.errors import InputError
from deployments.engine.arbiter import HeadPolicy, action_values
from deployments.services.serving.policy_cache import ServedLoop, head_policies_stored
from deployments.services.serving.request_keys import decision_keys
from deployments.services.serving.requests import DecisionRequest, read_context
from deployments.services.serving.responses import RenderedAnswer, render_answer
from loops.engine.state.scalar import ScalarDynamics
from privacy.engine.head_choice import HeadChoice
from privacy.engine.serving_state import PersonServingState
from privacy.models import Choice, ServedDecision
from privacy.selectors.keys import cipher_of, state_of


def replayed_answer(serving: ServedLoop, person: PersonServingState, request: DecisionRequest) -> RenderedAnswer | None:
    """The answer to a request that was answered before, from its rows; None when they were erased meanwhile.

    Raises InputError when the body is another.
    """
    if not person.wrapped:
        return None
    served = ServedDecision.objects.select_related("decision").filter(pk=person.original).first()
    if served is None:
        return None
    if bytes(served.seed) != decision_keys(person.person_key, request).seed:
        raise InputError("this requestId was used with another body; use a new requestId for a new question")
    decision, version, points = served.decision, serving.loop_version, serving.points
    if decision.loop_version_id != version.pk:
        version = decision.loop_version
        points = ScalarDynamics(version.spec)
    state = state_of(decision, cipher_of(person.person_id, person.wrapped, person.master_version)).tolist()
    clamped = read_context(version.spec, points, request).clamped
    choices = {choice.head: choice for choice in decision.choices.all()}
    head_policies = head_policies_stored(version, choices)
    values = action_values([head_policy.policy for head_policy in head_policies], state)
    answered = [_head_choice(choices[s.head], s, v) for s, v in zip(head_policies, values, strict=True)]
    return render_answer(version, request.request_id, served, state, clamped, answered, stable=serving.main.stable)


def _head_choice(choice: Choice, head_policy: HeadPolicy, values: tuple[float, ...]) -> HeadChoice:
    """A stored choice as it was answered; action values are computed again."""
    return HeadChoice(
        head=choice.head,
        action=choice.action,
        propensity=choice.propensity,
        marginal_propensity=choice.marginal_propensity,
        explored=choice.explored,
        learnable=choice.learnable,
        version=head_policy.version,
        generation=head_policy.generation,
        eligible=choice.eligible,
        fallback=choice.fallback,
        values=values,
        actions=head_policy.actions,
        reference=head_policy.policy.reference,
    )
