"""Generate synthetic transitions from the world model. Trainers learn from them and never read a person's rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from privacy.engine.moments.baseline import Baseline
from privacy.engine.moments.effects import Effects, draw_baseline
from privacy.engine.moments.pooled import Moments
from training.engine.generators.protocol import Posterior
from training.engine.world.transitions import Chunk, Transitions
from training.engine.world.world import World, initial_states


def mean_world(moments: Moments, baseline: Baseline, effects: Effects) -> World:
    """Return the world at the posterior mean."""
    return World(moments, _coefficients(moments, baseline.mean, effects.mean)[None])


def sample_worlds(
    moments: Moments, baseline: Baseline, effects: Effects, draws: int, rng: np.random.Generator
) -> World:
    """Sample ``draws`` worlds from the full posterior: baseline, effects and the effects' prior widths."""
    samples = [_coefficients(moments, draw_baseline(baseline, rng), effects.draw(rng)) for _ in range(draws)]
    return World(moments, np.stack(samples))


def _coefficients(moments: Moments, theta: Floats, tau: Floats) -> Floats:
    """Return coefficients (K, d, m) of each action.

    The baseline is an average over logged actions, so reference = theta + offset - sum q_k tau_k.
    """
    layout = moments.layout
    reference = theta + moments.offset - np.tensordot(moments.actions, tau, axes=1)
    out = np.repeat(reference[None], len(layout.main.actions), axis=0)
    out[list(layout.alternatives)] += tau
    return out


def synthesize(world: World, rng: np.random.Generator, *, states: int) -> Transitions:
    """Simulate every action from ``states`` model states.

    All actions share the same noise, so contrasts between actions carry none.
    """
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


@dataclass(frozen=True)
class WorldModel:
    """Generate transitions from the world at the posterior mean."""

    name: str = "world_model"

    def chunks(self, posterior: Posterior, *, states: int, seed: int, longest: int) -> Iterator[Chunk]:
        """Yield ``states`` x K rows in chunks of at most ``longest``. Actions vary fastest."""
        world = mean_world(posterior.moments, posterior.baseline, posterior.effects)
        yield from synthesize(world, np.random.default_rng(seed), states=states).chunks(longest)
