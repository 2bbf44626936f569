"""Define worlds in which an intervention hurts few people badly and helps the others a little. Its mean is negative."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.plain import PlainWorld
from benchmarks.worlds.protocol import Hidden
from core.arrays import Floats, Ints

HURT, MEAN = -10.0, -0.10  # reward scales: where a hurt person is intervened on; over the population


class FewHurtWorld(PlainWorld):
    """Hurt a ``share`` of people by 10 reward scales, and help the others so that the mean effect is -.10."""

    def __init__(self, name: str, share: float) -> None:
        super().__init__(name)
        self.share = share
        self.helped = (MEAN - share * HURT) / (1.0 - share)

    def effect(self, hidden: Hidden, state: Floats, action: Ints) -> Floats:
        """Return the hurt or the help, where intervened. Nothing that the app sees tells the people apart."""
        return np.where(action == 0, 0.0, np.where(hidden["kind"] < self.share, HURT, self.helped))


def few_hurt_world(percent: int) -> FewHurtWorld:
    """Return the world that hurts this percentage of its people."""
    return FewHurtWorld(f"few_hurt_{percent}", percent / 100)
