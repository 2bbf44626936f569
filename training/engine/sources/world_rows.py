"""Draw rows of a table from the released world model: a state, one action, and what follows."""

from __future__ import annotations

import numpy as np

from training.engine.generators.of_transitions import transition_table
from training.engine.generators.protocol import Posterior
from training.engine.generators.world_model import mean_world, synthesize
from training.engine.tables.table import Table


def world_rows(posterior: Posterior, rows: int, *, seed: int) -> Table:
    """Draw ``rows`` independent transitions from the world at the posterior mean, with actions as the loop logs them.

    It uses no privacy beyond the release's own: this is post-processing.
    """
    layout = posterior.moments.layout
    rng = np.random.default_rng([seed, 2])
    world = mean_world(posterior.moments, posterior.baseline, posterior.effects)
    every = transition_table(layout.spec, synthesize(world, rng, states=rows))
    logging = np.array(layout.main.logging)
    actions = rng.choice(len(logging), size=rows, p=logging / logging.sum())
    return every.take(np.arange(rows) * len(logging) + actions)
