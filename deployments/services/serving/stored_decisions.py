"""A served decision read back from its rows: what chose, and what it answered."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.engine.arbiter import HeadChoice, HeadPolicy, values_of
from deployments.services.serving.policy_cache import policy_of, server_of
from loops.engine.policies.linear import reference_policy
from loops.engine.spec import LoopSpec
from loops.models import LoopVersion
from privacy.models import Choice, ServedDecision


def stored_heads(spec: LoopSpec, choices: Mapping[str, Choice]) -> list[str]:
    """The heads that chose, in the order in which they were asked."""
    return [h.name for h in spec.heads_main_first if h.name in choices]


def stored_choices(served: ServedDecision, state: list[float]) -> list[HeadChoice]:
    """A decision's choices as they were answered; action values are computed again from its state (F numbers)."""
    version = served.decision.loop_version
    found = {c.head: c for c in served.decision.choices.all()}
    return [_stored_pick(version, found[name], state) for name in stored_heads(version.spec, found)]


def _stored_pick(version: LoopVersion, choice: Choice, state: list[float]) -> HeadChoice:
    server = stored_server(version, choice)
    return HeadChoice(
        head=choice.head,
        action=choice.action,
        explored=choice.explored,
        propensity=choice.propensity,
        marginal=choice.marginal_propensity,
        learnable=choice.learnable,
        values=values_of(server.policy, server.policy.phi.phi_of(state)),
        eligible=choice.eligible,
        server=server,
    )


def stored_server(version: LoopVersion, choice: Choice) -> HeadPolicy:
    """Who answered a stored choice; the reference where the version can no longer be read."""
    policy = None if choice.fallback == "reference" else policy_of(choice.version or 0, version)
    return server_of(
        version.spec.head(choice.head),
        policy or reference_policy(version.spec, choice.head),
        choice.version or 0,
        choice.generation or 0,
        choice.fallback,
    )
