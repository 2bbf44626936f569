"""One arbiter over the heads: policy says whether anything is said, then the others say when, in which tone and how deep.

One flag a decision: if it is raised, every head draws from its logging distribution, else every head is greedy. So the states of
explored rows are everybody's, whatever serves. Every draw is a function of the decision's seed, so that it can be replayed.

With f the share that is explored, p a head's logging distribution over its eligible actions and g its greedy action:
policy's marginal propensity is f p(a) + (1 - f) 1[a = g]; another head's, given what policy did, is the same with f replaced by
the probability that the flag was raised given policy's action (Bayes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.arrays import Floats
from loops.engine.features import FeatureMap
from loops.engine.heads import MAIN_HEAD
from loops.engine.policies.linear import LinearPolicy
from privacy.engine.head_choice import HeadChoice

_TWO_64 = float(2**64)


@dataclass(frozen=True)
class HeadPolicy:
    """What answers for one head: a policy, its version, slot generation, and the rung (``fallback``) if it is not what should."""

    head: str
    actions: tuple[str, ...]
    logging: tuple[float, ...]
    always: bool
    policy: LinearPolicy
    version: int
    generation: int
    fallback: str = ""


def uniform(seed: bytes, purpose: str) -> float:
    """A number in [0, 1) that depends on seed and purpose alone."""
    return int.from_bytes(hashlib.blake2b(seed + purpose.encode(), digest_size=8).digest(), "big") / _TWO_64


def arbitrate(
    head_policies: Sequence[HeadPolicy],
    state: Sequence[float],
    *,
    seed: bytes,
    exploration: float,
    eligible: Mapping[str, int] | None = None,
) -> list[HeadChoice]:
    """Choose for every head that speaks. ``head_policies``: policy first; ``state``: F numbers; ``eligible``: masks of actions by
    head (absent: all), in which each head's reference must be. Choices under a mask, or by a fallback, teach nothing.
    """
    explored = uniform(seed, "explore") < exploration
    features, choices = dict[bool, Floats](), list[HeadChoice]()
    flag, masks, quiet = exploration, eligible or {}, False
    for head_policy in head_policies:
        if quiet and not head_policy.always:
            continue
        columns = _columns(features, head_policy.policy.phi, state)
        choice = _choice(head_policy, columns, seed, explored, flag, masks.get(head_policy.head))
        if head_policy.head == MAIN_HEAD:
            quiet = choice.action == choice.reference
            flag = exploration * _logged(head_policy, choice.eligible, choice.action) / choice.marginal_propensity
        choices.append(choice)
    return choices


def action_values(policies: Sequence[LinearPolicy], state: Sequence[float]) -> list[tuple[float, ...]]:
    """(K,) action values, margin included, of each policy in one state (F numbers)."""
    features = dict[bool, Floats]()
    return [_values(policy, _columns(features, policy.phi, state)) for policy in policies]


def _columns(features: dict[bool, Floats], phi: FeatureMap, state: Sequence[float]) -> Floats:
    """The state's columns (d,), computed once with hinges and once without."""
    columns = features.get(phi.hinges)
    if columns is None:
        columns = features[phi.hinges] = phi.phi_of(state)
    return columns


def _choice(
    head_policy: HeadPolicy, phi: Floats, seed: bytes, explored: bool, flag: float, mask: int | None
) -> HeadChoice:
    values = _values(head_policy.policy, phi)
    greedy = _greedy(head_policy, values, mask)
    action = _drawn(head_policy, mask, uniform(seed, head_policy.head)) if explored else greedy
    logged = _logged(head_policy, mask, action)
    marginal = flag * logged + (1.0 - flag) * (action == greedy)
    return HeadChoice(
        head_policy.head, action, logged if explored else 1.0, 1.0 if marginal > 1.0 else marginal, explored,
        mask is None and not head_policy.fallback, head_policy.version, head_policy.generation, mask, head_policy.fallback,
        values, head_policy.actions, head_policy.policy.reference,
    )  # fmt: skip


def _greedy(head_policy: HeadPolicy, values: Sequence[float], mask: int | None) -> int:
    """The eligible action of the highest value; the reference unless another's is higher."""
    best = values.index(max(values)) if mask is None else max(_allowed(head_policy, mask), key=values.__getitem__)
    return best if values[best] > values[head_policy.policy.reference] else head_policy.policy.reference


def _allowed(head_policy: HeadPolicy, mask: int | None) -> Sequence[int]:
    every = range(len(head_policy.logging))
    return every if mask is None else [k for k in every if mask >> k & 1]


def _values(policy: LinearPolicy, phi: Floats) -> tuple[float, ...]:
    """(K,) action values, margin included, for one state's columns phi (d,)."""
    values: list[float] = (policy.weights @ phi).tolist()
    values[policy.reference] += policy.margin
    return tuple(values)


def _drawn(head_policy: HeadPolicy, mask: int | None, u: float) -> int:
    """The action in whose share of the (renormalised) logging distribution ``u`` falls."""
    allowed = _allowed(head_policy, mask)
    left = u * sum(head_policy.logging[k] for k in allowed)
    for k in allowed:
        left -= head_policy.logging[k]
        if left < 0:
            return k
    return allowed[-1]


def _logged(head_policy: HeadPolicy, mask: int | None, action: int) -> float:
    """Probability of ``action`` in the logging distribution over the eligible actions."""
    if mask is None:
        return head_policy.logging[action]
    return head_policy.logging[action] / sum(p for k, p in enumerate(head_policy.logging) if mask >> k & 1)
