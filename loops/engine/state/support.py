"""Compute how far features with known dynamics move while actions are drawn from the logging distribution.

A policy that always waits reaches times since an intervention, and loads, that a log of random actions never visits. A linear
model would extrapolate there. Feature maps therefore hold these features inside the range that such a log covers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from loops.engine.spec import LoopSpec
from loops.engine.state.dynamics import advance_known, start_of

Support = tuple[tuple[float, float], ...]  # lower and upper end for each feature

HELD = ("since_intervention", "recent_load")
QUANTILE = 0.03  # on each side; a tighter range blinds models to what waiting does
_LEAST_WIDTH = 0.05  # of a feature's bounds: a narrower range would make its column constant
_PEOPLE, _STEPS, _BURN_IN, _SEED = 200, 150, 50, 20_250_103


def known_support(spec: LoopSpec) -> Support:
    """Return the range of each feature: its bounds, or for the held dynamics the .03 to .97 quantiles under random logging.

    It follows from the loop file alone. A category has the range of its indices.
    """
    return _support(_Loop(spec))


class _Loop:
    """Cache key of what the ranges depend on: features, and how often the main head intervenes."""

    def __init__(self, spec: LoopSpec) -> None:
        self.spec = spec
        self.identity = repr((spec.features, spec.main_head.logging, spec.main_head.reference, spec.decisions_per_day))

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Loop) and self.identity == other.identity


@lru_cache(maxsize=64)
def _support(loop: _Loop) -> Support:
    spec = loop.spec
    ranges = [(0.0, len(f.categories) - 1.0) if f.is_category else f.range for f in spec.features]
    held = [i for i, f in enumerate(spec.features) if f.dynamics in HELD]
    if not held:
        return tuple(ranges)
    rng, intervening = np.random.default_rng(_SEED), spec.main_head.logged_rate
    states, seen = np.tile([start_of(f) for f in spec.features], (_PEOPLE, 1)), []
    for step in range(_STEPS):
        states = advance_known(spec, states, rng.random(_PEOPLE) < intervening)
        if step >= _BURN_IN:
            seen.append(states[:, held])
    ends = np.quantile(np.concatenate(seen), [QUANTILE, 1.0 - QUANTILE], axis=0)
    for column, i in enumerate(held):
        low, high = (float(end) for end in ends[:, column])
        if high - low > _LEAST_WIDTH * (ranges[i][1] - ranges[i][0]):
            ranges[i] = (low, high)
    return tuple(ranges)
