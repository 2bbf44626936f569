"""Null users: people simulated from the loop file alone, so that clips follow from public facts and never from data.

A null user's features walk at random inside their bounds with the declared scales, actions are drawn from the logging
distribution and the whitened reward is standard normal noise: nothing that anybody did enters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loops.engine.dynamics import advance_known
from loops.engine.spec import Feature, LoopSpec
from privacy.engine.rows import Rows

Floats = npt.NDArray[np.float64]

NULL_USERS = 400
NULL_ROWS = 40_000  # with many decision points a person, fewer people do: quantiles of averages need no more
_SEED = 20_250_101  # public constant: the same loop file gives the same clips everywhere
_CATEGORY_STAY = 0.8


def null_rows(spec: LoopSpec, head: str, *, decisions: int, explored_share: float = 1.0) -> Rows:
    """Rows of up to 400 null users with ``decisions`` decision points each, in whitened units (reward scale as declared)."""
    rng = np.random.default_rng(_SEED)
    steps = max(2, decisions)
    users = int(np.clip(NULL_ROWS // steps, 100, NULL_USERS))
    states = np.empty((users, steps + 1, len(spec.features)))
    states[:, 0] = np.column_stack([_initial(f, users, rng) for f in spec.features])
    policy = spec.head(head)
    actions = rng.choice(len(policy.actions), size=(users, steps), p=np.array(policy.logging))
    for t in range(steps):
        moved = advance_known(spec, states[:, t], actions[:, t] != policy.reference_index)
        for i, feature in enumerate(spec.features):
            if feature.dynamics in ("learned", "drift"):
                moved[:, i] = _wander(feature, states[:, t, i], rng)
        states[:, t + 1] = moved
    same_day = spec.imports.next_state.endswith("same_day")
    last_of_day = (np.arange(steps) % spec.decisions_per_day) == spec.decisions_per_day - 1
    has_next = np.broadcast_to(~last_of_day if same_day else np.ones(steps, bool), (users, steps))
    width = len(spec.features)
    return Rows(
        person=np.repeat(np.arange(users), steps),
        state=states[:, :-1].reshape(-1, width),
        next_state=states[:, 1:].reshape(-1, width),
        has_next=has_next.reshape(-1).copy(),
        left=np.zeros(users * steps, bool),
        action=actions.reshape(-1),
        propensity=np.array(policy.logging)[actions].reshape(-1),
        explored=rng.random(users * steps) < explored_share,
        reward=rng.normal(size=users * steps) * spec.reward.scale,
    )


def _initial(feature: Feature, users: int, rng: np.random.Generator) -> Floats:
    if feature.is_category:
        return rng.integers(len(feature.categories), size=users).astype(np.float64)
    low, high = feature.bounds or (0.0, 1.0)
    return rng.uniform(low, high, size=users)


def _wander(feature: Feature, values: Floats, rng: np.random.Generator) -> Floats:
    """One step of a random walk reflected at the bounds; a category stays or is drawn anew."""
    if feature.is_category:
        fresh = rng.integers(len(feature.categories), size=values.size).astype(np.float64)
        return np.where(rng.random(values.size) < _CATEGORY_STAY, values, fresh)
    low, high = feature.bounds or (0.0, 1.0)
    moved = values + rng.normal(size=values.size) * (feature.scale or 0.0)
    moved = np.where(moved > high, 2 * high - moved, moved)
    moved = np.where(moved < low, 2 * low - moved, moved)
    return np.clip(moved, low, high)
