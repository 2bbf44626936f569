"""Test the method on two worlds that it was not developed on, each defined by a loop file alone.

``python -m benchmarks.traps --json``: epsilon 1 (delta 1e-5), 60 decision points per person, and only the model gate.

* ``trust``: a push gives an immediate reward but lowers trust, on which all later rewards depend. Never pushing is optimal, and
  a myopic method finds pushing good. Nothing may be deployed.
* ``flip``: one action helps people in need and harms the others. The other action helps a good mood and harms a bad one. Five
  numbers and most of a category of six are distractors. Rewards have heavy tails (Student's t, 4 degrees of freedom).

``gain`` is the mean reward per decision point over 100 points, minus that of never intervening, on people of the same world.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import Check, arguments, finish
from benchmarks.privacy_utility import learned_from
from core.arrays import Floats, Ints
from loops.engine.parse.loop import parse_loop
from loops.engine.spec import LoopSpec
from privacy.engine.dp.accounting import gaussian_mu
from privacy.engine.moments.rows import ReleaseRows

DELTA, POINTS, HORIZON = 1e-5, 60, 100
PEOPLE = (700, 1_500, 4_000)
_EVALUATION_PEOPLE = 3_000
Choice = Callable[[Floats], Ints]
Answer = tuple[Floats, Floats]  # reward (n,), and the learned feature afterwards (n,)

_TRUST = """
name = "trust"
version = 1
decisions_per_day = 4
[features.trust]
bounds = [0, 1]
dynamics = "learned"
scale = 0.1
[features.need]
bounds = [0, 1]
dynamics = "drift"
scale = 0.2
[heads.policy]
actions = ["wait", "push"]
reference = "wait"
logging = [0.6, 0.4]
[reward]
scale = 0.5
default = 0.0
"""
_FLIP = """
name = "flip"
version = 1
decisions_per_day = 4
[features.mood]
bounds = [-1, 1]
dynamics = "learned"
scale = 0.2
[features.need]
bounds = [0, 1]
dynamics = "drift"
scale = 0.2
{distractors}
[features.place]
categories = ["home", "work", "way", "gym", "shop", "other"]
dynamics = "drift"
[heads.policy]
actions = ["wait", "help", "cheer"]
reference = "wait"
logging = [0.5, 0.25, 0.25]
[reward]
scale = 0.5
default = 0.0
"""
_DISTRACTOR = '[features.x{}]\nbounds = [0, 1]\ndynamics = "drift"\nscale = 0.2\n'
_IMPORT = """
[import.csv]
user = "who"
key = ["who", "at"]
time = "at"
next_state = "next_row"
missing = "drop"
reward = {{ total = "felt" }}
[import.csv.heads]
policy = {{ action = "did", propensity = "p" }}
"""


@dataclass(frozen=True)
class TrapWorld:
    """Combine a loop with the response of its people to actions (n,) in states (n, F)."""

    spec: LoopSpec
    answer: Callable[[Floats, Ints, np.random.Generator], Answer]

    def live(
        self, people: int, points: int, rng: np.random.Generator, choose: Choice | None
    ) -> tuple[Floats, Ints, Floats]:
        """Simulate people over decision points.

        Args: choose: the policy; None draws from the logging distribution.
        Returns: states (people, points + 1, F), actions and rewards (people, points).
        """
        features, head = self.spec.features, self.spec.head("policy")
        states = np.empty((people, points + 1, len(features)))
        actions, rewards = np.empty((people, points), dtype=np.int64), np.empty((people, points))
        for i, f in enumerate(features):
            low, high = f.range
            states[:, 0, i] = (
                rng.integers(len(f.categories), size=people) if f.is_category else rng.uniform(low, high, people)
            )
        for t in range(points):
            now = states[:, t]
            actions[:, t] = choose(now) if choose else rng.choice(len(head.actions), size=people, p=head.logging)
            states[:, t + 1] = self._drifted(now, rng)
            rewards[:, t], states[:, t + 1, 0] = self.answer(now, actions[:, t], rng)
        return states, actions, rewards

    def _drifted(self, now: Floats, rng: np.random.Generator) -> Floats:
        after = now.copy()
        for i in self.spec.features_with("drift"):
            f, n = self.spec.features[i], len(now)
            if f.is_category:
                after[:, i] = np.where(rng.random(n) < 0.8, now[:, i], rng.integers(len(f.categories), size=n))
            else:
                after[:, i] = np.clip(0.5 + 0.8 * (now[:, i] - 0.5) + 0.15 * rng.normal(size=n), 0, 1)
        return after

    def rows(self, people: int, rng: np.random.Generator) -> ReleaseRows:
        """Simulate the log of this number of people, as rows that a release reads."""
        states, actions, rewards = self.live(people, POINTS, rng, None)
        n, width = people * POINTS, states.shape[2]
        return ReleaseRows(
            person=np.repeat(np.arange(people), POINTS),
            state=states[:, :-1].reshape(n, width),
            next_state=states[:, 1:].reshape(n, width),
            has_next=np.ones(n, bool),
            dropped_out=np.zeros(n, bool),
            action=actions.reshape(n),
            propensity=np.array(self.spec.head("policy").logging)[actions.reshape(n)],
            explored=np.ones(n, bool),
            reward=rewards.reshape(n),
        )

    def value(self, choose: Choice) -> float:
        """Return the mean reward per decision point of a policy."""
        return float(self.live(_EVALUATION_PEOPLE, HORIZON, np.random.default_rng(5), choose)[2].mean())


def _trust(now: Floats, action: Ints, rng: np.random.Generator) -> Answer:
    trust, need, n = now[:, 0], now[:, 1], len(now)
    pushed = action == 1
    reward = trust + pushed * (0.15 + 0.2 * need) + 0.3 * rng.normal(size=n)
    return reward, np.clip(trust + 0.08 * (0.7 - trust) - 0.10 * pushed + 0.03 * rng.normal(size=n), 0, 1)


def _flip(now: Floats, action: Ints, rng: np.random.Generator) -> Answer:
    mood, need, n = now[:, 0], now[:, 1], len(now)
    effect = (action == 1) * (1.2 * (need - 0.5) - 0.05) + (action == 2) * (0.5 * mood - 0.05 + 0.2 * (now[:, -1] == 3))
    return 0.5 * mood + effect + 0.4 * rng.standard_t(4, size=n), np.clip(
        0.8 * mood + 0.3 * effect + 0.15 * rng.normal(size=n), -1, 1
    )


def worlds() -> dict[str, TrapWorld]:
    """Build both worlds, by name."""
    flip = _FLIP.format(distractors="".join(_DISTRACTOR.format(i) for i in range(5)))
    imports = _IMPORT.format()
    sources = {"trust": (_TRUST + imports, _trust), "flip": (flip + imports, _flip)}
    return {
        name: TrapWorld(parse_loop(text, source=f"{name}.toml"), answer) for name, (text, answer) in sources.items()
    }


def run(name: str, world: TrapWorld, waiting: float, people: int, seed: int) -> dict[str, Any]:
    """Run one turn and return its result row."""
    rows = world.rows(people, np.random.default_rng([seed, people]))
    learned = learned_from(world.spec, rows, 1 / gaussian_mu(1.0, DELTA), seed)
    gain = world.value(learned.policy.actions) - waiting
    return {
        "world": name, "people": people, "seed": seed, "gain": gain, "z": learned.gate.z, "passed": learned.passed,
        "training_gamma": learned.training_gamma,
    }  # fmt: skip


def checks(rows: list[dict[str, Any]]) -> list[Check]:
    """Return the checks over all rows."""
    trust, flip = ([r for r in rows if r["world"] == name] for name in ("trust", "flip"))
    best = max(r["gain"] for r in flip)  # over all sizes and seeds
    return [
        Check("trust_passed", float(np.mean([r["passed"] for r in trust])), 0.10, at_most=True),
        Check("flip_passed", float(np.mean([r["passed"] for r in flip])), 0.95),
        Check("flip_share_700", float(np.mean([r["gain"] for r in flip if r["people"] == 700])) / best, 0.85),
    ]


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    seeds = range(3 if options.quick else options.seeds)
    rows = []
    for name, world in worlds().items():
        waiting = world.value(lambda states: np.zeros(len(states), dtype=np.int64))
        for people in PEOPLE:
            mine = [run(name, world, waiting, people, seed) for seed in seeds]
            rows += mine
            gains, passed = np.array([r["gain"] for r in mine]), sum(r["passed"] for r in mine)
            print(
                f"{name:>6} {people:>6} people: {passed} of {len(mine)} pass, gain {gains.min():+.3f} .. {gains.max():+.3f}"
            )
    finish("traps", options, rows, checks(rows))


if __name__ == "__main__":
    main(arguments(__doc__, seeds=20).parse_args())
