"""The best policy that we know how to find when the simulator itself may be used: the upper end of every share."""

from __future__ import annotations

import numpy as np

from loops.engine.spec import LoopSpec
from training.engine.simulator.cohort import Policy
from training.engine.simulator.effects import fits
from training.engine.simulator.layout import Floats, Layout
from training.engine.simulator.people import Variant


def constant_policy(spec: LoopSpec, action: str) -> Policy:
    """Always the same action of the policy head."""
    row = np.eye(len(spec.head("policy").actions))[spec.head("policy").actions.index(action)]
    return lambda states: np.tile(row, (len(states), 1))


def best_known_policy(spec: LoopSpec, *, variant: Variant = "companion", seed: int = 0) -> Policy:
    """placeholder recipe: threshold on the true fit."""
    layout = Layout.of(spec)

    def policy(states: Floats) -> Floats:
        fit = fits(layout, states)
        fit[:, 0] = 0.4
        if variant == "never":
            fit[:, 0] = 9
        kind = fit.argmax(1)
        return (layout.meaning["policy"][None, :] == kind[:, None]).astype(float)

    return policy
