"""The whole ``moments`` path as an adversary sees it: two databases that differ by one crafted person, and one statistic.

The adversary knows everything but whether the person is in: given what earlier rounds released, they compute what the person
would add to each block, and project all released numbers on it. Noise is Gaussian, so that projection is the best test there is:
it is N(0, 1) without the person and N(mu, 1) with them, mu the root of the squared norms over the squared noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from loops.engine.parse import parse_loop
from loops.engine.spec import LoopSpec
from privacy.engine import release
from privacy.engine.accounting import calibrate
from privacy.engine.contributions import baseline_contributions, count_contributions, effect_contributions
from privacy.engine.layout import COUNTS_CLIP
from privacy.engine.mechanisms import integer_sum
from privacy.engine.release import Plan, Round
from privacy.engine.rows import Floats, Rows

TOML = """
name = "audit"
version = 1
decisions_per_day = 4
[features.mood]
bounds = [-1, 1]
dynamics = "constant"
[heads.policy]
actions = ["wait", "talk"]
reference = "wait"
logging = [0.5, 0.5]
[reward]
scale = 0.5
[release.moments]
nominal_users = 200
nominal_decisions = 32
features = "linear"
[import.csv]
user = "who"
key = ["who", "at"]
time = "at"
next_state = "next_row_same_day"
missing = "drop"
reward = { total = "felt" }
[import.csv.heads]
policy = { action = "did", propensity = "p" }
"""
EPSILON, DELTA, PEOPLE, ROWS = 8.0, 1e-5, 20, 32


@dataclass(frozen=True)
class Audited:
    """``claimed`` mu of the release; ``reached``: the mean mu that the crafted person has; the errors of the test at
    half of it; ``mean``: the statistic's mean with the person less its mean without.
    """

    runs: int
    claimed: float
    reached: float
    false_positives: int
    false_negatives: int
    mean: float


def world(seed: int) -> tuple[LoopSpec, Rows, Rows]:
    """A small loop, the database without the person, and the person alone."""
    spec, rng = parse_loop(TOML, source="audit.toml"), np.random.default_rng(seed)
    count = PEOPLE * ROWS
    action = rng.integers(0, 2, count)
    others = _rows(np.repeat(np.arange(PEOPLE), ROWS), rng.uniform(-1, 1, count), action, rng.normal(0, 0.5, count))
    crafted = _rows(np.zeros(10_000, int), np.full(10_000, 1.0), np.ones(10_000, int), np.full(10_000, 100.0))
    return spec, others, crafted


def _rows(person: Any, mood: Floats, action: Any, reward: Floats) -> Rows:
    n, none = len(person), np.zeros(len(person), bool)
    state = mood[:, None].astype(float)
    return Rows(
        person=person.astype(np.int64), state=state, next_state=state, has_next=none, left=none.copy(),
        action=action.astype(np.int64), propensity=np.full(n, 0.5), explored=np.ones(n, bool), reward=reward.astype(float),
    )  # fmt: skip


def together(others: Rows, crafted: Rows) -> Rows:
    """The neighbouring database."""

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(others, name), getattr(crafted, name)])

    return Rows(
        person=np.concatenate([others.person, crafted.person + others.users]), state=joined("state"),
        next_state=joined("next_state"), has_next=joined("has_next"), left=joined("left"), action=joined("action"),
        propensity=joined("propensity"), explored=joined("explored"), reward=joined("reward"),
    )  # fmt: skip


def audit(runs: int, seed: int = 1) -> Audited:
    """So many releases of either database, told apart by the statistic at half the person's mu."""
    spec, others, crafted = world(seed)
    sigma = calibrate(epsilon=EPSILON, delta=DELTA, maximum=EPSILON).sigma
    both = together(others, crafted)
    without = np.array([statistic(spec, others, others, crafted, sigma) for _ in range(runs)])
    within = np.array([statistic(spec, both, others, crafted, sigma) for _ in range(runs)])
    reached = float(within[:, 1].mean())
    false_positives = int((without[:, 0] > reached / 2).sum())
    false_negatives = int((within[:, 0] <= reached / 2).sum())
    return Audited(
        runs=runs,
        claimed=1 / sigma,
        reached=reached,
        false_positives=false_positives,
        false_negatives=false_negatives,
        mean=float(within[:, 0].mean() - without[:, 0].mean()),
    )


def statistic(spec: LoopSpec, rows: Rows, others: Rows, crafted: Rows, sigma: float) -> tuple[float, float]:
    """One release of ``rows``, and what it says of whether the person is in: the statistic, and the person's mu in it."""
    counts = release.release_counts(spec, rows, sigma)
    made = release.plan(spec, release.read_counts(spec, counts), sigma)
    baseline = release.release_baseline(made, rows)
    effects = release.release_effects(made, rows, baseline)
    theta = release.residual_baseline(made, baseline, None)
    rest, person = _blocks(spec, made, others, theta), _blocks(spec, made, crafted, theta)
    dot = power = 0.0
    for name, (clip, values) in person.items():
        noised, sd = _released(name, counts, baseline, effects)
        step = clip / (1 << 20)
        expected, own = integer_sum(rest[name][1], clip=clip) * step, integer_sum(values, clip=clip) * step
        dot += float((noised - expected) @ own) / sd**2
        power += float(own @ own) / sd**2
    return dot / power**0.5, power**0.5


def _blocks(spec: LoopSpec, made: Plan, rows: Rows, theta: Floats) -> dict[str, tuple[float, Floats]]:
    """Clip and contributions of each block, given what was released before."""
    gram, targets = baseline_contributions(made.layout, rows, made.counts.centre, made.known)
    found = {"counts": (COUNTS_CLIP, count_contributions(spec, rows)), "gram": (made.facts.clips["gram"], gram)}
    found["targets"] = (made.facts.clips["targets"], targets)
    for name, block in effect_contributions(made.layout, rows, made.counts.centre, theta).items():
        found[name] = (made.facts.clips[name], block)
    return found


def _released(name: str, *rounds: Round) -> tuple[Floats, float]:
    held = next(r for r in rounds if name in r)
    return held[name], float(held[f"{name}_sd"][0])
