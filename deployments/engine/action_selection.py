"""Choose the actions of all heads for one decision.

The policy head decides whether to intervene. If it does, the other heads decide when, in which tone and how deeply.

Each decision has one exploration flag. If it is raised, every head draws from its logging distribution. Otherwise every head
is greedy. The states of explored rows are therefore those of everybody, whichever policy is deployed. Every draw is a function
of the decision's seed, so that it can be replayed.

Let f be the explored share, p a head's logging distribution over its eligible actions, and g its greedy action. The policy
head's marginal propensity is f p(a) + (1 - f) 1[a = g]. For another head, f is replaced by the probability that the flag was
raised given the policy head's action (Bayes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.arrays import Floats
from loops.engine.features import FeatureMap
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy
from privacy.engine.head_choice import OWN_CHOICE, HeadChoice

Columns = dict[tuple[bool, tuple[tuple[float, float], ...]], Floats]  # by hinges and support of a feature map
_TWO_64 = float(2**64)


@dataclass(frozen=True)
class HeadPolicy:
    """Hold the policy that serves one head, with its version and slot generation.

    ``always``: whether the head acts even if the policy head does not intervene.
    ``fallback``: the replacement in use ("stable" or "reference") if the assigned version cannot serve, otherwise empty.
    """

    head: str
    actions: tuple[str, ...]
    logging: tuple[float, ...]
    always: bool
    policy: LinearPolicy
    version: int
    generation: int
    fallback: str = ""


def uniform(seed: bytes, purpose: str) -> float:
    """Return a number in [0, 1) that depends only on seed and purpose."""
    return int.from_bytes(hashlib.blake2b(seed + purpose.encode(), digest_size=8).digest(), "big") / _TWO_64


def select_actions(
    policies: Sequence[HeadPolicy],
    state: Sequence[float],
    *,
    seed: bytes,
    exploration: float,
    eligible: Mapping[str, int] | None = None,
    own: Mapping[str, int] | None = None,
) -> list[HeadChoice]:
    """Choose an action for every head that acts in this decision.

    Choices under a mask, by a fallback or by the app itself are not learnable.

    Args:
        policies: the serving policies, the policy head first.
        state: F numbers.
        seed: fixes every draw.
        exploration: the explored share f in [0, 1].
        eligible: bit mask of eligible actions by head. A mask must contain the head's reference. An absent head has none.
        own: actions that the app chose itself, by head. They are eligible.
    """
    explored = uniform(seed, "explore") < exploration
    features, choices = Columns(), list[HeadChoice]()
    flag_share, masks, silent = exploration, eligible or {}, False
    for head_policy in policies:
        if silent and not head_policy.always:
            continue
        if own and head_policy.head in own:
            choice = _own_choice(head_policy, own[head_policy.head], masks.get(head_policy.head))
        else:
            columns = _columns(features, head_policy.policy.phi, state)
            choice = _choice(head_policy, columns, seed, explored, flag_share, masks.get(head_policy.head))
        if head_policy.head == MAIN_HEAD:
            silent = choice.action == choice.reference
            if choice.marginal_propensity is not None:  # the app's own choice says nothing about the flag
                flag_share = (
                    exploration
                    * _logging_probability(head_policy, choice.eligible, choice.action)
                    / choice.marginal_propensity
                )
        choices.append(choice)
    return choices


def choose_alone(
    head_policy: HeadPolicy, state: Sequence[float], *, seed: bytes, exploration: float, mask: int | None
) -> HeadChoice:
    """Choose one head's action as ``select_actions`` does, whatever the other heads choose.

    The propensities are those of a head that always acts. ``mask``: bit mask of eligible actions, None: all.
    """
    explored = uniform(seed, "explore") < exploration
    return _choice(head_policy, head_policy.policy.phi.phi_of(state), seed, explored, exploration, mask)


def greedy_action(choice: HeadChoice) -> int:
    """Return the action that a choice's policy takes when it does not explore. The reference wins ties."""
    values, mask = choice.values, choice.eligible
    allowed = range(len(values)) if mask is None else [k for k in range(len(values)) if mask >> k & 1]
    best = max(allowed, key=values.__getitem__)
    return best if values[best] > values[choice.reference] else choice.reference


def action_values(policies: Sequence[LinearPolicy], state: Sequence[float]) -> list[tuple[float, ...]]:
    """Return the (K,) action values, margin included, of each policy in one state (F numbers)."""
    features = Columns()
    return [_values(policy, _columns(features, policy.phi, state)) for policy in policies]


def _columns(features: Columns, phi: FeatureMap, state: Sequence[float]) -> Floats:
    """Return the state's feature columns (d,), computed once for each kind of feature map."""
    kind = phi.hinges, phi.support
    columns = features.get(kind)
    if columns is None:
        columns = features[kind] = phi.phi_of(state)
    return columns


def _choice(
    head_policy: HeadPolicy, phi: Floats, seed: bytes, explored: bool, flag_share: float, mask: int | None
) -> HeadChoice:
    values = _values(head_policy.policy, phi)
    greedy = _greedy(head_policy, values, mask)
    action = _draw(head_policy, mask, uniform(seed, head_policy.head)) if explored else greedy
    logged = _logging_probability(head_policy, mask, action)
    marginal = flag_share * logged + (1.0 - flag_share) * (action == greedy)
    return HeadChoice(
        head_policy.head, action, logged if explored else 1.0, 1.0 if marginal > 1.0 else marginal, explored,
        mask is None and not head_policy.fallback, head_policy.version, head_policy.generation, mask, head_policy.fallback,
        values, head_policy.actions, head_policy.policy.reference,
    )  # fmt: skip


def _own_choice(head_policy: HeadPolicy, action: int, mask: int | None) -> HeadChoice:
    """Return the app's own choice for a head. No version made it, and how else the app could have chosen is not known."""
    return HeadChoice(
        head_policy.head, action, None, None, False, False, None, head_policy.generation, mask, OWN_CHOICE, (),
        head_policy.actions, head_policy.policy.reference,
    )  # fmt: skip


def _greedy(head_policy: HeadPolicy, values: Sequence[float], mask: int | None) -> int:
    """Return the eligible action with the highest value. The reference wins ties."""
    best = values.index(max(values)) if mask is None else max(_allowed(head_policy, mask), key=values.__getitem__)
    return best if values[best] > values[head_policy.policy.reference] else head_policy.policy.reference


def _allowed(head_policy: HeadPolicy, mask: int | None) -> Sequence[int]:
    every = range(len(head_policy.logging))
    return every if mask is None else [k for k in every if mask >> k & 1]


def _values(policy: LinearPolicy, phi: Floats) -> tuple[float, ...]:
    """Return (K,) action values, margin included, for one state's columns phi (d,)."""
    values: list[float] = (policy.weights @ phi).tolist()
    values[policy.reference] += policy.margin
    return tuple(values)


def _draw(head_policy: HeadPolicy, mask: int | None, u: float) -> int:
    """Return the action in whose interval of the renormalised logging distribution ``u`` in [0, 1) falls."""
    allowed = _allowed(head_policy, mask)
    remaining = u * sum(head_policy.logging[k] for k in allowed)
    for k in allowed:
        remaining -= head_policy.logging[k]
        if remaining < 0:
            return k
    return allowed[-1]


def _logging_probability(head_policy: HeadPolicy, mask: int | None, action: int) -> float:
    """Return the probability of ``action`` in the logging distribution over the eligible actions."""
    if mask is None:
        return head_policy.logging[action]
    return head_policy.logging[action] / sum(p for k, p in enumerate(head_policy.logging) if mask >> k & 1)
