"""Apps that choose by themselves in simulated lives, by a rule or at random, with a gain of .3 where they take the action."""

from __future__ import annotations

import numpy as np

from core.arrays import Bools, Floats
from deployments.engine.rollouts.imitation import OwnDecisions

EFFECT = 0.3
RULES = ("threshold", "slanted", "either of two", "band", "three signs", "group and sign", "never")
AT_RANDOM = ("at random", "leaning", "by person")


def takes(rule: str, state: Floats, u: Floats, person: Floats) -> Bools:
    """Where an app takes the action, in states (n, 6) and with a number in [0, 1) a decision and a person."""
    x, y = state[:, 0], state[:, 1]
    chosen: dict[str, Bools] = {
        "threshold": x > 0.3,
        "slanted": x + y > 0.2,
        "either of two": (x > 0) != (y > 0),
        "band": np.abs(x) < 0.4,
        "three signs": x * y * state[:, 2] > 0,
        "group and sign": np.isin(state[:, 5], [0, 2]) == (x > 0),
        "never": np.zeros(len(x), dtype=bool),
        "at random": u < 0.3,
        "leaning": u < np.where(x > 0, 0.6, 0.2),
        "by person": person < 0.4,
    }
    return chosen[rule]


def lived(rule: str, *, people: int = 200, each: int = 25, seed: int = 0) -> OwnDecisions:
    """Decisions of an app beside a version that always takes the action. Rewards are higher where the first feature is."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), each)
    state = rng.uniform(-1.0, 1.0, size=(len(person), 6))
    state[:, 5] = rng.integers(3, size=len(person))
    took = takes(rule, state, rng.random(len(person)), rng.random(people)[person])
    felt = 0.3 * state[:, 0] + 0.2 * rng.normal(size=people)[person] + 0.3 * rng.normal(size=len(person))
    return OwnDecisions(person, took.astype(int), np.ones(len(person), dtype=int), state, felt + EFFECT * took)
