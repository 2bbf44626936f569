"""Define the interface of generators, which produce synthetic transitions from a released posterior and nothing else."""

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
    """Hold the posterior of a release: its moments, and the baseline and effects derived from them."""

    moments: Moments
    baseline: Baseline
    effects: Effects

    @classmethod
    def of(cls, moments: Moments) -> Posterior:
        """Derive the posterior from released moments."""
        return cls(moments, baseline_posterior(moments), effects_posterior(moments))


class Generator(Protocol):
    """Generate rows of the training pool.

    Slow imports belong inside ``chunks``, because the registry is loaded before workers fork.
    """

    @property
    def name(self) -> str:
        """Return the name that synthetic jobs store."""
        ...

    def chunks(self, posterior: Posterior, *, states: int, seed: int, longest: int) -> Iterator[Chunk]:
        """Yield pool rows (``Transitions.rows``): every action from each of ``states`` model states.

        Args:
            seed: the same seed gives the same rows.
            longest: most rows a chunk.
        """
        ...
