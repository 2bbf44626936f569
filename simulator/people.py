"""Define simulated people: their fixed traits, and their state from one decision point to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.arrays import Floats, Ints

Variant = Literal["companion", "never", "contrary"]
FEATURES = ("mood", "stress", "engagement", "energy", "arousal", "gap", "load", "daypart")
POINTS_A_DAY = 4


@dataclass(frozen=True)
class SimulatedPeople:
    """Hold the traits of n people, each (n,).

    With ``variant`` "never", no intervention ever helps anybody. With "contrary", what harms other people helps these.
    """

    mood: Floats
    stress: Floats
    engagement: Floats
    energy: Floats
    receptivity: Floats
    sensitivity: Floats
    rates: Floats
    variant: Variant

    @property
    def n(self) -> int:
        """Return the number of people."""
        return len(self.mood)

    def take(self, rows: Ints) -> SimulatedPeople:
        """Select people by row index. Repetition is allowed."""
        traits = {k: v[rows] for k, v in self.__dict__.items() if k != "variant"}
        return SimulatedPeople(**traits, variant=self.variant)


@dataclass
class InnerState:
    """Hold each person's current state: the eight observed features (n, 8), and the unobserved fatigue (n,) in [0, 1]."""

    state: Floats
    fatigue: Floats

    def take(self, rows: Ints) -> InnerState:
        """Copy the rows with these indices."""
        return InnerState(self.state[rows].copy(), self.fatigue[rows].copy())


def make_people(n: int, rng: np.random.Generator, *, variant: Variant = "companion") -> SimulatedPeople:
    """Draw n people at random. Their traits differ so much that no single baseline fits everybody."""
    return SimulatedPeople(
        mood=np.clip(rng.normal(0.05, 0.22, n), -0.6, 0.6),
        stress=np.clip(rng.normal(0.45, 0.13, n), 0.1, 0.85),
        engagement=np.clip(rng.normal(0.55, 0.15, n), 0.1, 0.95),
        energy=np.clip(rng.normal(0.5, 0.12, n), 0.15, 0.85),
        receptivity=np.clip(rng.normal(1.0, 0.25, n), 0.3, 1.7),
        sensitivity=np.clip(rng.normal(1.0, 0.3, n), 0.2, 2.0),
        rates=rng.beta(7.0, 3.0, n),
        variant=variant,
    )


def begin(people: SimulatedPeople, rng: np.random.Generator) -> InnerState:
    """Draw the state of everybody's first decision point: a morning, near their baselines, without recent interventions."""
    n = people.n
    state = np.column_stack(
        [
            np.clip(people.mood + rng.normal(0, 0.25, n), -1, 1),
            np.clip(people.stress + rng.normal(0, 0.15, n), 0, 1),
            np.clip(people.engagement + rng.normal(0, 0.05, n), 0, 1),
            np.clip(people.energy + rng.normal(0, 0.1, n), 0, 1),
            np.clip(rng.normal(0.45, 0.15, n), 0, 1),
            rng.uniform(0.2, 1.0, n),
            np.zeros(n),
            np.zeros(n),
        ]
    )
    return InnerState(state, np.zeros(n))
