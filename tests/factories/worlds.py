"""A release of planted people as the trainer gets it, made once a test session."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from loops.engine.spec import LoopSpec
from privacy.engine.moments.baseline import Baseline, baseline_posterior
from privacy.engine.moments.effects import Effects, effects_posterior
from privacy.engine.moments.pooled import Moments
from tests.factories.in_memory_release import release_moments
from tests.factories.planted import planted_rows, planted_spec
from training.engine.generators.world_model import mean_world, synthesize
from training.engine.world.transitions import Transitions
from training.engine.world.world import World


@dataclass(frozen=True)
class Taught:
    """Moments without noise, their posteriors, the mean world, and transitions drawn from it."""

    spec: LoopSpec
    moments: Moments
    baseline: Baseline
    effects: Effects
    world: World
    pool: Transitions


@lru_cache(maxsize=1)
def taught() -> Taught:
    """2,000 planted people: speaking helps who has energy, and calm helps who is in a good mood."""
    spec = planted_spec()
    moments = release_moments(spec, planted_rows(spec, np.random.default_rng(1)), None)
    baseline, effects = baseline_posterior(moments), effects_posterior(moments)
    world = mean_world(moments, baseline, effects)
    return Taught(spec, moments, baseline, effects, world, synthesize(world, np.random.default_rng(2), states=3_000))
