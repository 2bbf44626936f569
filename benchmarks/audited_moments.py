"""The whole ``moments`` path as an adversary sees it: two databases that differ by one crafted person, and one statistic.

The adversary knows everything but whether the person is in: given what earlier rounds released, they compute what the person
would add to each block, and project all released numbers on it. Noise is Gaussian, so that projection is the best test there is:
it is N(0, 1) without the person and N(mu, 1) with them, mu the root of the squared norms over the squared noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loops.engine.parse import parse_loop
from loops.engine.spec import LoopSpec
from privacy.engine import release
from privacy.engine.contributions import baseline_contributions, count_contributions, effect_contributions
from privacy.engine.layout import COUNTS_CLIP
from privacy.engine.mechanisms import integer_sum
from privacy.engine.release import Plan, Round
from privacy.engine.rows import Floats, Ints, Rows, Spoken

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


def world(seed: int) -> tuple[LoopSpec, Rows, Rows]:
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


def _rows(person: Ints, state: Floats, next_state: Floats, action: Ints, tone: Ints, reward: Floats) -> Rows:
    n, explored = len(person), np.ones(len(person), bool)
    tones = Spoken(np.where(action == 1, tone, -1), np.full(n, 0.5), explored & (action == 1))
    return Rows(
        person=person, state=state, next_state=next_state, has_next=explored, left=np.zeros(n, bool), action=action,
        propensity=np.full(n, 0.5), explored=explored, reward=reward, subs={"tone": tones},
    )  # fmt: skip


def together(others: Rows, crafted: Rows) -> Rows:
    """The neighbouring database."""

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(others, name), getattr(crafted, name)])

    tones = [
        np.concatenate([getattr(rows.subs["tone"], name) for rows in (others, crafted)])
        for name in ("action", "propensity", "explored")
    ]
    return Rows(
        person=np.concatenate([others.person, crafted.person + others.users]), state=joined("state"),
        next_state=joined("next_state"), has_next=joined("has_next"), left=joined("left"), action=joined("action"),
        propensity=joined("propensity"), explored=joined("explored"), reward=joined("reward"), subs={"tone": Spoken(*tones)},
    )  # fmt: skip


def audit(runs: int, seed: int = 1) -> Audited:
    """So many releases of either database, told apart by the statistic at half the person's mu."""
    spec, others, crafted = world(seed)
    sigma = 1 / MU
    both = together(others, crafted)
    without = np.array([statistic(spec, others, others, crafted, sigma) for _ in range(runs)])
    within = np.array([statistic(spec, both, others, crafted, sigma) for _ in range(runs)])
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


def statistic(spec: LoopSpec, rows: Rows, others: Rows, crafted: Rows, sigma: float) -> tuple[float, float]:
    """One release of ``rows``, and what it says of whether the person is in: the statistic, and the person's mu in it."""
    counts = release.release_counts(spec, release.count_totals(spec, rows), sigma)
    made = release.plan(spec, release.read_counts(spec, counts), sigma)
    baseline, effects = release.later_rounds(made, rows)
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
