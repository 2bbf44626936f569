"""How a generator is asked: synthetic transitions from a released posterior, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from privacy.engine.moments.baseline import Baseline, baseline_posterior
from privacy.engine.moments.effects import Effects, effects_posterior
from privacy.engine.moments.pooled import Moments
from training.engine.world.transitions import Chunk


@dataclass(frozen=True)
class Posterior:
    """What a release says of the population: its moments, and the posterior of baseline and effects that follows from them."""

    moments: Moments
    baseline: Baseline
    effects: Effects

    @classmethod
    def of(cls, moments: Moments) -> Posterior:
        """Derive the posterior from released moments."""
        return cls(moments, baseline_posterior(moments), effects_posterior(moments))


class Generator(Protocol):
    """Makes the pool's rows. What is slow to load is imported inside ``chunks``: the registry is loaded before workers fork."""

    @property
    def name(self) -> str:
        """By which a synthetic job names it."""
        ...

    def chunks(self, posterior: Posterior, *, states: int, seed: int, longest: int) -> Iterator[Chunk]:
        """Yield every action from each of ``states`` model states as rows of the pool (``Transitions.rows``).

        The same seed gives the same rows. longest: rows a chunk at most.
        """
        ...
