"""Values of the people of two arms, for the verdicts of rollouts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deployments.engine.health.triggers import TRIGGER_BAR, Trigger
from deployments.engine.rollouts.arm_values import ArmValues


@dataclass(frozen=True)
class Arm:
    """Means of one arm, and how many people it has."""

    people: int = 500
    empathy: float = 0.8
    harm: float = 0.05
    reward: float = 0.5
    week: float = 5.0
    speaks: float = 0.4


USUAL = Arm()


def drawn(arm: Arm, seed: int = 1) -> ArmValues:
    """People of one arm: they differ by .1 in empathy and by .25 scales in reward, of which their past tells a part."""
    rng, n = np.random.default_rng(seed), arm.people
    own = rng.normal(0, 0.25, n)
    return ArmValues(
        np.clip(rng.normal(arm.empathy, 0.1, n), 0, 1),
        rng.binomial(10, arm.harm, n) / 10,
        arm.reward + own + rng.normal(0, 0.1, n),
        own + rng.normal(0, 0.1, n),
        rng.poisson(arm.week, n).astype(float),
        np.clip(rng.normal(arm.speaks, 0.1, n), 0, 1) * (arm.speaks > 0),
    )


def harm(name: str = "empathy_drop", *, proven: bool = True) -> Trigger:
    """A guardrail with or without proof."""
    return Trigger(name, 0.12, "1 week", TRIGGER_BAR + 1 if proven else 0.3, TRIGGER_BAR, proven, proven)
