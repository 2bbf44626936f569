"""Define worlds of people who come back after weeks: some are hurt by messages then, others stay away because of messages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.worlds.plain import PlainWorld
from benchmarks.worlds.protocol import Answer, Hidden, answers
from core.arrays import Bools, Floats, Ints

A_DAY = 4  # decision points
BACK_POINTS = 14 * A_DAY  # of the two weeks after a return
LEVEL = 2.0  # reward scales that a decision is worth more than in the plain world


@dataclass(frozen=True)
class ReturnEffect:
    """Hold what a message does, in reward scales, and how people pause.

    to_back: to those who came back within two weeks. to_others: to everybody else. drives: probability that one who came back
    leaves for good by a message. pauses: probability of a pause at a decision; sends: by how much a message raises it.
    days: shortest and longest pause.
    """

    to_back: float
    to_others: float
    drives: float = 0.0
    pauses: float = 0.0
    sends: float = 0.0
    days: tuple[int, int] = (14, 28)


class ReturnWorld(PlainWorld):
    """Let people pause and come back. While they are away they have no rows, and decisions are worth nothing to them."""

    tells_leaving = False

    def __init__(self, name: str, does: ReturnEffect) -> None:
        super().__init__(name)
        self.does = does

    def begin(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw people as they are after a long time without messages: some away, some just back."""
        drawn, (low, high) = super().begin(people, rng), self.does.days
        longest, when = A_DAY * rng.uniform(low, high, size=people), rng.random((2, people))
        share = (low + high) / 2 * A_DAY / ((low + high) / 2 * A_DAY + 1 / max(self.does.pauses, 1e-9))
        away = np.where(when[0] < share, np.ceil(when[1] * longest), 0.0)
        back = np.where(
            (when[0] >= share) & (when[1] < BACK_POINTS * self.does.pauses), BACK_POINTS * rng.random(people), 0.0
        )
        return drawn | {"away": away, "back": np.ceil(back)}

    def away(self, hidden: Hidden) -> Bools:
        """Return who (n,) pauses now."""
        return np.asarray(hidden["away"] > 0)

    def effect(self, hidden: Hidden, state: Floats, action: Ints) -> Floats:
        """Return what a decision is worth, and the hurt or the help of a message."""
        return LEVEL + np.where(action == 0, 0.0, np.where(is_back(hidden), self.does.to_back, self.does.to_others))

    def answer(self, hidden: Hidden, state: Floats, action: Ints, rng: np.random.Generator) -> Answer:
        """Answer as in the plain world, and let people pause or come back."""
        uniform, n, (low, high) = rng.random((2, len(action))), len(action), self.does.days
        out = super().answer(hidden, state, action, rng)
        away = self.away(hidden)
        goes = ~away & (uniform[0] < self.does.pauses + self.does.sends * (action != 0))
        returns = away & (hidden["away"] <= 1)
        length = np.ceil(A_DAY * (low + (high - low) * uniform[1]))
        hidden["away"] = np.where(goes, length, np.maximum(hidden["away"] - 1, 0.0))
        hidden["back"] = np.where(returns, np.full(n, BACK_POINTS), np.maximum(hidden["back"] - 1, 0.0))
        return out

    def reply(self, hidden: Hidden, intervened: Bools, reward: Floats, rating: Floats, uniform: Floats) -> Answer:
        """Return the usual answers. Messages drive some of those who came back away for good."""
        hazard = np.where(intervened & is_back(hidden), self.does.drives, 0.0)
        harm = np.full(len(reward), self.unwanted)
        return answers(reward, rating, harm, intervened, uniform, answering=self.answering, hazard=hazard)


def is_back(hidden: Hidden) -> Bools:
    """Return who (n,) came back within the last two weeks."""
    return np.asarray(hidden["back"] > 0)


def return_harm_world() -> ReturnWorld:
    """Return the world in which messages hurt people who came back, and drive them away for good."""
    return ReturnWorld("return_harm", ReturnEffect(to_back=-0.40, to_others=0.25, drives=0.014, pauses=0.003))


def return_cost_world() -> ReturnWorld:
    """Return the world in which people who came back dislike messages for two weeks, stay, and gain more by the others."""
    return ReturnWorld("return_cost", ReturnEffect(to_back=-0.20, to_others=0.25, pauses=0.003))


def return_driven_world() -> ReturnWorld:
    """Return the world in which messages please those who are there, and send people away for a week or two at a time."""
    return ReturnWorld("return_driven", ReturnEffect(to_back=0.25, to_others=0.25, sends=0.004, days=(7, 14)))
