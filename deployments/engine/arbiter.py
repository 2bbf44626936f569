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
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loops.engine.policy import LinearPolicy
from privacy.engine.layout import MAIN_HEAD

Floats = npt.NDArray[np.float64]
_TWO_64 = float(2**64)


@dataclass(frozen=True)
class Server:
    """What answers for one head: a policy, its version, slot generation, and the rung (``fallback``) if it is not what should."""

    head: str
    actions: tuple[str, ...]
    logging: tuple[float, ...]
    always: bool
    policy: LinearPolicy
    version: int
    generation: int
    fallback: str = ""


class Pick(NamedTuple):
    """What one head chose: action, propensity given the flag, and marginal over it; the action values, margin included (K,)."""

    head: str
    action: int
    explored: bool
    propensity: float
    marginal: float
    learnable: bool
    values: tuple[float, ...]
    eligible: int | None
    server: Server


def uniform(seed: bytes, purpose: str) -> float:
    """A number in [0, 1) that depends on seed and purpose alone."""
    return int.from_bytes(hashlib.blake2b(seed + purpose.encode(), digest_size=8).digest(), "big") / _TWO_64


def arbitrate(
    servers: Sequence[Server],
    state: Sequence[float],
    *,
    seed: bytes,
    exploration: float,
    eligible: Mapping[str, int] | None = None,
) -> list[Pick]:
    """Choose for every head that speaks. ``servers``: policy first; ``state``: F numbers; ``eligible``: masks of actions by
    head (absent: all), in which each head's reference must be. Choices under a mask, or by a fallback, teach nothing.
    """
    explored = uniform(seed, "explore") < exploration
    features, picks = dict[bool, Floats](), list[Pick]()
    flag = exploration
    for server in servers:
        if picks and not server.always and picks[0].action == picks[0].server.policy.reference:
            continue
        phi = server.policy.phi
        if phi.hinges not in features:
            features[phi.hinges] = phi.phi_of(state)
        pick = _pick(server, features[phi.hinges], seed, explored, flag, (eligible or {}).get(server.head))
        if server.head == MAIN_HEAD:
            flag = exploration * _logged(server, pick.eligible, pick.action) / pick.marginal
        picks.append(pick)
    return picks


def _pick(server: Server, phi: Floats, seed: bytes, explored: bool, flag: float, mask: int | None) -> Pick:
    policy, count = server.policy, len(server.logging)
    values = values_of(policy, phi)
    allowed = range(count) if mask is None else [k for k in range(count) if mask >> k & 1]
    greedy = max(allowed, key=values.__getitem__)
    if values[greedy] <= values[policy.reference]:
        greedy = policy.reference
    action = _drawn(server, allowed, uniform(seed, server.head)) if explored else greedy
    logged = _logged(server, mask, action)
    return Pick(
        head=server.head,
        action=action,
        explored=explored,
        propensity=logged if explored else 1.0,
        marginal=min(1.0, flag * logged + (1.0 - flag) * (action == greedy)),
        learnable=mask is None and not server.fallback,
        values=values,
        eligible=mask,
        server=server,
    )


def values_of(policy: LinearPolicy, phi: Floats) -> tuple[float, ...]:
    """(K,) action values, margin included, for one state's columns phi (d,)."""
    values: list[float] = (policy.weights @ phi).tolist()
    values[policy.reference] += policy.margin
    return tuple(values)


def _drawn(server: Server, allowed: Sequence[int], u: float) -> int:
    """The action in whose share of the (renormalised) logging distribution ``u`` falls."""
    left = u * sum(server.logging[k] for k in allowed)
    for k in allowed:
        left -= server.logging[k]
        if left < 0:
            return k
    return allowed[-1]


def _logged(server: Server, mask: int | None, action: int) -> float:
    """Probability of ``action`` in the logging distribution over the eligible actions."""
    if mask is None:
        return server.logging[action]
    return server.logging[action] / sum(p for k, p in enumerate(server.logging) if mask >> k & 1)
