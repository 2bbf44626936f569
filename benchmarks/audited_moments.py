"""Audit the whole ``moments`` release: an adversary distinguishes two databases that differ by one crafted person.

The adversary knows everything except whether the person is in the database. From the earlier rounds' releases they compute the
person's contribution to each block, and project all released numbers onto it. The noise is Gaussian, so this projection is the
most powerful test. It is N(0, 1) without the person and N(mu, 1) with them. Here mu is the root of the sum, over blocks, of the
contribution's squared norm over the squared noise.

The product's own functions make each release. They draw its 35 numbers with the exact sampler, round after round, because each
round depends on the noise of the earlier ones. One release takes milliseconds, so a million of each database would take
hours. Releases in bulk would audit another program. The integer sums of the person and of the others are computed separately, as
for two shards.
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
MU = 3.0  # at this mu the number of runs proves most of it; a smaller epsilon only scales the noise
PEOPLE, ROWS, MOST_ROWS = 20, 32, 10_000


@dataclass(frozen=True)
class Audited:
    """Hold the counts of an audit.

    ``claimed`` is the claimed mu of the release, and ``reached`` the mean mu of the crafted person. The error counts belong to
    the test at half of ``claimed``. ``mean`` is the statistic's mean with the person minus its mean without, with standard
    error sqrt(2 / runs). ``deviation`` is its standard deviation, which is 1 if the noise is as declared.
    """

    runs: int
    claimed: float
    reached: float
    false_positives: int
    false_negatives: int
    mean: float
    deviation: float


def world(seed: int) -> tuple[LoopSpec, ReleaseRows, ReleaseRows]:
    """Build a small loop with every kind of block, the database without the person, and the rows of the crafted person.

    The person has as many rows as a release ever counts, all with extreme values.
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
    """Make ``runs`` releases of each database, and classify them by the statistic at half the person's mu."""
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
    """Make one release, with the person if ``within``, and return the adversary's statistic and the person's mu."""

    def summed(totals: Callable[[ReleaseRows], Totals]) -> tuple[Totals, Totals, Totals]:
        rest, person = totals(others), totals(crafted)
        return add_totals([rest, person]) if within else rest, rest, person

    sums = [summed(partial(rounds.count_totals, spec))]
    counts = rounds.release_counts(spec, sums[0][0], sigma)
    plan = rounds.plan_release(spec, rounds.read_counts(spec, counts), sigma)
    sums.append(summed(partial(rounds.baseline_totals, plan)))
    baseline = rounds.release_baseline(plan, sums[1][0])
    theta = rounds.residual_baseline(plan, baseline, None)
    sums.append(summed(partial(rounds.effect_totals, plan, theta)))
    released = (counts, baseline, rounds.release_effects(plan, sums[2][0]))
    dot = power = 0.0
    for noised, (_, rest, person) in zip(released, sums, strict=True):
        for name, total in person.blocks.items():
            clip = COUNTS_CLIP if name == "counts" else plan.facts.clips[name]
            step, sd = clip / LATTICE_STEPS, float(noised[f"{name}_sd"][0])
            own = total * step
            dot += float((noised[name] - rest.blocks[name] * step) @ own) / sd**2
            power += float(own @ own) / sd**2
    return dot / power**0.5, power**0.5
