"""Define worlds in which a message hurts people in their first two weeks, and helps those who stayed longer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.worlds.plain import PlainWorld
from benchmarks.worlds.protocol import Answer, Hidden, answers
from core.arrays import Bools, Floats, Ints

NEW_POINTS = 14 * 4  # decision points of the first two weeks
NEWCOMERS = 0.20  # of the people, at the beginning of a month
LEVEL = 2.0  # reward scales that a decision is worth more than in the plain world
LEAVES = 0.002  # probability to leave for good at a decision, so that about a fifth of the people are new each month


@dataclass(frozen=True)
class NewcomerEffect:
    """Hold what a message does, in reward scales: to newcomers and to others.

    drives: probability that a newcomer leaves by it.
    """

    to_new: float
    to_others: float
    drives: float


class NewcomerWorld(PlainWorld):
    """Let people come and go. The app does not see how long somebody has been there, nor that they left: their rows end."""

    tells_leaving = False

    def __init__(self, name: str, does: NewcomerEffect) -> None:
        super().__init__(name)
        self.does = does

    def begin(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw people of whom a fifth has just come."""
        drawn = super().begin(people, rng)
        age = np.where(rng.random(people) < NEWCOMERS, 0.0, NEW_POINTS)
        return drawn | {"age": age}

    def arrive(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw people who have all just come."""
        return self.begin(people, rng) | {"age": np.zeros(people)}

    def effect(self, hidden: Hidden, state: Floats, action: Ints) -> Floats:
        """Return what a decision is worth, and the hurt or the help of a message."""
        return LEVEL + np.where(action == 0, 0.0, np.where(is_new(hidden), self.does.to_new, self.does.to_others))

    def answer(self, hidden: Hidden, state: Floats, action: Ints, rng: np.random.Generator) -> Answer:
        """Answer as in the plain world, and grow older."""
        out = super().answer(hidden, state, action, rng)
        hidden["age"] = hidden["age"] + 1
        return out

    def reply(self, hidden: Hidden, intervened: Bools, reward: Floats, rating: Floats, uniform: Floats) -> Answer:
        """Return the usual answers. People leave by themselves, and newcomers by messages too."""
        hazard = LEAVES + np.where(intervened & is_new(hidden), self.does.drives, 0.0)
        harm = np.full(len(reward), self.unwanted)
        return answers(reward, rating, harm, intervened, uniform, answering=self.answering, hazard=hazard)


def is_new(hidden: Hidden) -> Bools:
    """Return who (n,) is in their first two weeks."""
    return np.asarray(hidden["age"] < NEW_POINTS)


def newcomer_harm_world() -> NewcomerWorld:
    """Return the world in which messages drive newcomers away, and please those who stay."""
    return NewcomerWorld("newcomer_harm", NewcomerEffect(to_new=-0.60, to_others=0.25, drives=0.018))


def newcomer_cost_world() -> NewcomerWorld:
    """Return the world in which newcomers dislike messages, stay, and soon gain more than they lost."""
    return NewcomerWorld("newcomer_cost", NewcomerEffect(to_new=-0.40, to_others=0.30, drives=0.0))
