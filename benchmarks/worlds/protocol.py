"""Define the protocol of all worlds: a loop file of public facts, people with hidden states, and their answers to actions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.arrays import Bools, Floats, Ints
from loops.engine.parse.loop import parse_loop
from loops.engine.spec import LoopSpec

Hidden = dict[str, Floats]  # a quantity of each person (n,), by name

COLUMNS = """
[import.csv]
user = "who"
key = ["who", "at"]
time = "at"
missing = "drop"
next_state = "next_row"
available = "available"
label = "answer"
left = "left"
reward = { total = "felt", empathy = "rating" }
"""
WITH_PROPENSITY = """
[import.csv.heads.policy]
action = "did"
propensity = "p"
"""
WITHOUT_PROPENSITY = """
[import.csv.heads.policy]
action = "did"
"""


@dataclass(frozen=True)
class Answer:
    """Hold what n people answer to their actions.

    reward (n,): in reward scales. empathy (n,): rating in [0, 1], NaN where not rated. harmful (n,): 1, 0, or -1 without a label.
    harmed (n,): the truth behind the label, answered or not. left (n,): the person leaves for good.
    """

    reward: Floats
    empathy: Floats
    harmful: Ints
    harmed: Bools
    left: Bools


class World(ABC):
    """Simulate the people of one loop. ``draws`` never depend on actions, so that policies meet the same chance."""

    name: str
    text: str  # the loop file
    better: bool  # whether a policy better than the reference exists and should be deployed
    tells_leaving: bool = True  # whether the log says that a person left for good

    @cached_property
    def spec(self) -> LoopSpec:
        """Parse the loop file."""
        return parse_loop(self.text, source=f"{self.name}.toml")

    @cached_property
    def columns(self) -> dict[str, int]:
        """Return the column of each feature in a state."""
        return {name: i for i, name in enumerate(self.spec.feature_names)}

    @abstractmethod
    def begin(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw new people."""

    def arrive(self, people: int, rng: np.random.Generator) -> Hidden:
        """Draw people who take the place of those who left."""
        return self.begin(people, rng)

    def away(self, hidden: Hidden) -> Bools:
        """Return who (n,) pauses now: they have no decision point, and may come back."""
        return np.zeros(len(next(iter(hidden.values()))), bool)

    @abstractmethod
    def observe(self, hidden: Hidden, rng: np.random.Generator) -> Hidden:
        """Return what the app sees now of each learned and drift feature (n,), by name."""

    @abstractmethod
    def answer(self, hidden: Hidden, state: Floats, action: Ints, rng: np.random.Generator) -> Answer:
        """Answer the actions (n,) in the seen states (n, F), and move ``hidden`` to the next decision point in place."""

    def exploration(self, state: Floats) -> Floats:
        """Return the real distribution (n, K) of exploration draws: the declared one, unless a world logs otherwise."""
        return np.broadcast_to(np.array(self.spec.main_head.logging), (len(state), len(self.spec.main_head.actions)))

    def recorded(self, state: Floats, action: Ints, propensity: Floats) -> Floats:
        """Return the propensity (n,) that the log holds for an exploration draw: the real one, unless a world errs."""
        return propensity


def answers(
    reward: Floats, rating: Floats, harm: Floats, intervened: Bools, uniform: Floats, *, answering: Floats | float = 0.8,
    hazard: Floats | float = 0.0,
) -> Answer:  # fmt: skip
    """Draw the answers of n people.

    Args: rating (n,): of an intervention. harm (n,): probability that an intervention is unwanted. uniform (4, n): draws.
    answering: probability of a label, and of a rating. hazard: probability of leaving.
    """
    harmed = intervened & (uniform[0] < harm)
    return Answer(
        reward=reward,
        empathy=np.where(intervened & (uniform[1] < answering), np.clip(rating, 0.0, 1.0), np.nan),
        harmful=np.where(uniform[2] < answering, harmed.astype(np.int64), -1),
        harmed=harmed,
        left=uniform[3] < hazard,
    )
