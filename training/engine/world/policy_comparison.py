"""Compare policies in the same worlds, with the same simulated people and the same random shocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic

import numpy as np

from core.arrays import Floats, Ints
from training.engine.world.simulated_returns import P, rollout
from training.engine.world.world import World, initial_states


@dataclass(frozen=True)
class Trial(Generic[P]):
    """Hold one policy's results: each person's mean reward (reward scales) and intervention rate a step (n,), and their world."""

    policy: P
    reward: Floats
    rate: Floats
    worlds: Ints

    def by_world(self) -> tuple[Floats, Floats]:
        """Return mean reward and intervention rate a step in each world, (w,) and (w,)."""
        people = np.bincount(self.worlds)
        return _total(self.worlds, self.reward) / people, _total(self.worlds, self.rate) / people


def compare(
    world: World, policies: Iterable[P], rng: np.random.Generator, *, people_a_world: int
) -> Iterator[Trial[P]]:
    """Roll out each policy and yield its trial, in the order given. The iterable is consumed lazily."""
    world_count = len(world.coefficients)
    worlds = np.arange(world_count * people_a_world) % world_count
    start = initial_states(world, len(worlds), rng)
    for policy, reward, rate in rollout(world, policies, start, worlds, int(rng.integers(2**63))):
        yield Trial(policy, reward, rate, worlds)


def _total(worlds: Ints, values: Floats) -> Floats:
    return np.asarray(np.bincount(worlds, weights=values))
