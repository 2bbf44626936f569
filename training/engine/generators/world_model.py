"""Synthetic transitions from the world model: what the trainer learns from instead of anybody's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from privacy.engine.moments.baseline import Baseline
from privacy.engine.moments.effects import Effects, draw_baseline
from privacy.engine.moments.pooled import Moments
from privacy.engine.moments.rows import Floats
from training.engine.world.world_model import World, initial_states

DEFAULT_STATES = 3_000


@dataclass(frozen=True)
class Transitions:
    """Every action from each of n model states, with common noise across actions.

    state (n, F); reward (n, K) in reward scales; next_state (n, K, F); stays (n, K) probability of going on.
    """

    state: Floats
    reward: Floats
    next_state: Floats
    stays: Floats

    def rows(self) -> dict[str, np.ndarray]:
        """One row a (state, action) pair, actions running fastest: the columns of the pool."""
        n, k = self.reward.shape
        return {
            "state": np.repeat(self.state, k, axis=0),
            "action": np.tile(np.arange(k, dtype=np.int64), n),
            "reward": self.reward.reshape(-1),
            "stays": self.stays.reshape(-1),
            "next_state": self.next_state.reshape(n * k, -1),
        }

    @classmethod
    def of_rows(cls, rows: Mapping[str, np.ndarray]) -> Transitions:
        """Inverse of ``rows``."""
        k = int(rows["action"].max()) + 1
        return cls(
            state=rows["state"][::k],
            reward=rows["reward"].reshape(-1, k),
            next_state=rows["next_state"].reshape(-1, k, rows["next_state"].shape[1]),
            stays=rows["stays"].reshape(-1, k),
        )


def mean_world(moments: Moments, baseline: Baseline, effects: Effects) -> World:
    """The world at the posterior mean."""
    return World(moments, _coefficients(moments, baseline.mean, effects.mean)[None])


def sample_worlds(
    moments: Moments, baseline: Baseline, effects: Effects, draws: int, rng: np.random.Generator
) -> World:
    """``draws`` worlds from the full posterior: baseline, effects and the effects' prior widths."""
    drawn = [_coefficients(moments, draw_baseline(baseline, rng), effects.draw(rng)) for _ in range(draws)]
    return World(moments, np.stack(drawn))


def _coefficients(moments: Moments, theta: Floats, tau: Floats) -> Floats:
    """(K, d, m). The baseline is an average over logged actions: reference = theta + what was taken off - sum q_k tau_k."""
    layout = moments.layout
    reference = theta + moments.offset - np.tensordot(moments.actions, tau, axes=1)
    out = np.repeat(reference[None], len(layout.main.actions), axis=0)
    out[list(layout.alternatives)] += tau
    return out


def synthesize(world: World, rng: np.random.Generator, *, states: int = DEFAULT_STATES) -> Transitions:
    """Transitions from ``states`` model states under every action, with the same noise for each: contrasts are clean."""
    start = initial_states(world, states, rng)
    worlds = np.zeros(states, dtype=np.int64)
    seed = int(rng.integers(2**63))
    outcomes = [
        world.step(start, np.full(states, k), worlds, np.random.default_rng(seed))
        for k in range(world.coefficients.shape[1])
    ]
    return Transitions(
        state=start,
        reward=np.column_stack([o.reward for o in outcomes]),
        next_state=np.stack([o.next_state for o in outcomes], axis=1),
        stays=np.column_stack([o.stays for o in outcomes]),
    )
