"""The whole ``moments`` path as an adversary sees it: two databases that differ by one crafted person, and one statistic.

The adversary knows everything but whether the person is in: given what earlier rounds released, they compute what the person
would add to each block, and project all released numbers on it. Noise is Gaussian, so that projection is the best test there is:
it is N(0, 1) without the person and N(mu, 1) with them, mu the root of the squared norms over the squared noise.

Every release is made by the product's own functions and draws its 33 numbers by the exact sampler, round after round, because
each round asks what the noise of those before it implies. So it is made one by one, which takes milliseconds: a million of
either database would take hours, and making them in bulk would audit another program. Of the person and of the others integer
sums are made apart, as of two shards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.parse.loop import parse_loop
from loops.engine.spec import LoopSpec
from privacy.engine.dp.accounting import LATTICE_STEPS
from privacy.engine.dp.mechanisms import Totals, add_totals
from privacy.engine.moments import rounds
from privacy.engine.moments.release_layout import COUNTS_CLIP
from privacy.engine.moments.rows import ReleaseRows, SubHeadRows

TOML = """
name = "audit"
version = 1
decisions_per_day = 4
[features.mood]
bounds = [-1, 1]
dynamics = "learned"
scale = 0.2
[features.place]
categories = ["home", "away"]
dynamics = "drift"
[heads.policy]
actions = ["wait", "talk"]
reference = "wait"
logging = [0.5, 0.5]
[heads.tone]
actions = ["warm", "calm"]
reference = "warm"
logging = [0.5, 0.5]
when = "intervening"
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
tone = { action = "tone", propensity = "q" }
"""
MU = 3.0  # where as many runs prove most of it; the noise of a small epsilon is the same but for its scale
PEOPLE, ROWS, MOST_ROWS = 20, 32, 10_000


@dataclass(frozen=True)
class Audited:
    """``claimed`` mu of the release; ``reached``: the mean mu that the crafted person has; the errors of the test at half of
    what is claimed; ``mean``: the statistic's mean with the person less its mean without, with standard error sqrt(2 / runs);
    ``deviation``: its standard deviation, which is 1 if the noise is what is said.
    """

    runs: int
    claimed: float
    reached: float
    false_positives: int
    false_negatives: int
    mean: float
    deviation: float


def world(seed: int) -> tuple[LoopSpec, ReleaseRows, ReleaseRows]:
    """A small loop with every kind of block, the database without the person, and the person alone: as many rows as are ever
    counted, all of them at the ends of what can be.
    """
    spec, rng, n = parse_loop(TOML, source="audit.toml"), np.random.default_rng(seed), PEOPLE * ROWS
    others = _rows(
        person=np.repeat(np.arange(PEOPLE), ROWS), state=_states(rng.uniform(-1, 1, n), rng.integers(0, 2, n)),
        next_state=_states(rng.uniform(-1, 1, n), rng.integers(0, 2, n)), action=rng.integers(0, 2, n),
        tone=rng.integers(0, 2, n), reward=rng.normal(0, 0.5, n),
    )  # fmt: skip
    ones, whole = np.ones(MOST_ROWS), np.ones(MOST_ROWS, np.int64)
    crafted = _rows(
        person=0 * whole, state=_states(ones, whole), next_state=_states(-ones, whole), action=whole, tone=whole,
        reward=100 * ones,
    )  # fmt: skip
    return spec, others, crafted


def _states(mood: Floats, place: Ints) -> Floats:
    return np.column_stack([mood, place]).astype(np.float64)


def _rows(person: Ints, state: Floats, next_state: Floats, action: Ints, tone: Ints, reward: Floats) -> ReleaseRows:
    n, explored = len(person), np.ones(len(person), bool)
    tones = SubHeadRows(np.where(action == 1, tone, -1), np.full(n, 0.5), explored & (action == 1))
    return ReleaseRows(
        person=person, state=state, next_state=next_state, has_next=explored, dropped_out=np.zeros(n, bool), action=action,
        propensity=np.full(n, 0.5), explored=explored, reward=reward, subs={"tone": tones},
    )  # fmt: skip


def audit(runs: int, seed: int = 1) -> Audited:
    """So many releases of either database, told apart by the statistic at half the person's mu."""
    spec, others, crafted = world(seed)
    sigma = 1 / MU
    without = np.array([statistic(spec, others, crafted, sigma, within=False) for _ in range(runs)])
    within = np.array([statistic(spec, others, crafted, sigma, within=True) for _ in range(runs)])
    z, threshold = (without[:, 0], within[:, 0]), MU / 2
    return Audited(
        runs=runs,
        claimed=MU,
        reached=float(within[:, 1].mean()),
        false_positives=int((z[0] > threshold).sum()),
        false_negatives=int((z[1] <= threshold).sum()),
        mean=float(z[1].mean() - z[0].mean()),
        deviation=float(np.sqrt((z[0].var() + z[1].var()) / 2)),
    )


def statistic(
    spec: LoopSpec, others: ReleaseRows, crafted: ReleaseRows, sigma: float, *, within: bool
) -> tuple[float, float]:
    """One release without the person or with them, and what it says of whether they are in: the statistic, and their mu in it."""

    def summed(totals: Callable[[ReleaseRows], Totals]) -> tuple[Totals, Totals, Totals]:
        rest, person = totals(others), totals(crafted)
        return add_totals([rest, person]) if within else rest, rest, person

    asked = [summed(partial(rounds.count_totals, spec))]
    counts = rounds.release_counts(spec, asked[0][0], sigma)
    made = rounds.plan_release(spec, rounds.read_counts(spec, counts), sigma)
    asked.append(summed(partial(rounds.baseline_totals, made)))
    baseline = rounds.release_baseline(made, asked[1][0])
    theta = rounds.residual_baseline(made, baseline, None)
    asked.append(summed(partial(rounds.effect_totals, made, theta)))
    released = (counts, baseline, rounds.release_effects(made, asked[2][0]))
    dot = power = 0.0
    for noised, (_, rest, person) in zip(released, asked, strict=True):
        for name, total in person.blocks.items():
            clip = COUNTS_CLIP if name == "counts" else made.facts.clips[name]
            step, sd = clip / LATTICE_STEPS, float(noised[f"{name}_sd"][0])
            own = total * step
            dot += float((noised[name] - rest.blocks[name] * step) @ own) / sd**2
            power += float(own @ own) / sd**2
    return dot / power**0.5, power**0.5
