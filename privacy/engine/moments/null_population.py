"""Simulate null users: people made from the loop file alone, so that clips depend on public facts and never on data.

A null user's features take a random walk inside their bounds with the declared scales. Actions are drawn from the logging
distribution, and the whitened reward is standard normal noise. No person's data enter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats, Ints
from loops.engine.policies.linear import LinearPolicy
from loops.engine.spec import Feature, Head, LoopSpec
from loops.engine.state.dynamics import advance_known
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows

NULL_PEOPLE = 400
NULL_ROWS = 40_000  # with many decision points per person, fewer people are enough for quantiles of averages
_SEED = 20_250_101  # public constant: the same loop file gives the same clips everywhere
_CATEGORY_STAY = 0.8


@dataclass(frozen=True)
class LoggingPolicy:
    """The public part of how logged decisions were made: the share that was explored, and the deployed policy of the others.

    With ``served`` None the others are also drawn from the logging distribution, with its propensities.
    """

    explored_share: float = 1.0
    served: LinearPolicy | None = None


FULL_LOGGING = LoggingPolicy()


def null_rows(spec: LoopSpec, *, decisions: int, logged: LoggingPolicy = FULL_LOGGING) -> ReleaseRows:
    """Simulate rows of up to 400 null users with ``decisions`` decision points each.

    Where a policy was deployed, propensities are marginal over the exploration flag, as evaluations need them. Releases read
    explored rows alone.
    """
    rng = np.random.default_rng(_SEED)
    steps = max(2, decisions)
    users = int(np.clip(NULL_ROWS // steps, 100, NULL_PEOPLE))
    policy, width = spec.main_head, len(spec.features)
    states = np.empty((users, steps + 1, width))
    states[:, 0] = np.column_stack([_initial(f, users, rng) for f in spec.features])
    drawn = rng.choice(len(policy.actions), size=(users, steps), p=np.array(policy.logging))
    explored = rng.random((users, steps)) < logged.explored_share
    actions, propensity = np.empty((users, steps), dtype=np.int64), np.empty((users, steps))
    for t in range(steps):
        actions[:, t], propensity[:, t] = _chosen(policy, states[:, t], drawn[:, t], explored[:, t], logged)
        states[:, t + 1] = _moved(spec, states[:, t], actions[:, t] != policy.reference_index, rng)
    return ReleaseRows(
        person=np.repeat(np.arange(users), steps),
        state=states[:, :-1].reshape(-1, width),
        next_state=states[:, 1:].reshape(-1, width),
        has_next=_has_next(spec, users, steps).reshape(-1),
        dropped_out=np.zeros(users * steps, bool),
        action=actions.reshape(-1),
        propensity=propensity.reshape(-1),
        explored=explored.reshape(-1),
        reward=rng.normal(size=users * steps) * spec.reward.scale,
        subs=_subs(spec, actions.reshape(-1), explored.reshape(-1), rng),
    )


def _chosen(policy: Head, states: Floats, drawn: Ints, explored: Bools, logged: LoggingPolicy) -> tuple[Ints, Floats]:
    logging = np.array(policy.logging)
    if logged.served is None:
        return drawn, logging[drawn]
    greedy = logged.served.actions(states)
    actions = np.where(explored, drawn, greedy)
    share = logged.explored_share
    return actions, share * logging[actions] + (1.0 - share) * (actions == greedy)


def _moved(spec: LoopSpec, states: Floats, intervened: Bools, rng: np.random.Generator) -> Floats:
    moved = advance_known(spec, states, intervened)
    for i, feature in enumerate(spec.features):
        if feature.dynamics in ("learned", "drift"):
            moved[:, i] = _wander(feature, states[:, i], rng)
    return moved


def _has_next(spec: LoopSpec, users: int, steps: int) -> Bools:
    same_day = spec.imports.next_state.endswith("same_day")
    last_of_day = (np.arange(steps) % spec.decisions_per_day) == spec.decisions_per_day - 1
    return np.tile(~last_of_day if same_day else np.ones(steps, bool), (users, 1))


def _subs(spec: LoopSpec, actions: Ints, explored: Bools, rng: np.random.Generator) -> dict[str, SubHeadRows]:
    """Draw the choices of the sub-heads from their logging distributions, wherever they have a choice."""
    subs = {}
    for head in spec.sub_heads:
        chooses = (actions != spec.main_head.reference_index) | (head.when == "always")
        drawn = rng.choice(len(head.actions), size=len(actions), p=np.array(head.logging))
        subs[head.name] = SubHeadRows(np.where(chooses, drawn, -1), np.array(head.logging)[drawn], explored & chooses)
    return subs


def _initial(feature: Feature, users: int, rng: np.random.Generator) -> Floats:
    if feature.is_category:
        return rng.integers(len(feature.categories), size=users).astype(np.float64)
    low, high = feature.range
    return rng.uniform(low, high, size=users)


def _wander(feature: Feature, values: Floats, rng: np.random.Generator) -> Floats:
    """Take one step of a random walk reflected at the bounds. A category stays or is drawn again uniformly."""
    if feature.is_category:
        fresh = rng.integers(len(feature.categories), size=values.size).astype(np.float64)
        return np.where(rng.random(values.size) < _CATEGORY_STAY, values, fresh)
    low, high = feature.range
    moved = values + rng.normal(size=values.size) * (feature.scale or 0.0)
    moved = np.where(moved > high, 2 * high - moved, moved)
    moved = np.where(moved < low, 2 * low - moved, moved)
    return np.clip(moved, low, high)
