"""Audit the whole ``moments`` release: an adversary distinguishes two databases that differ by one crafted person.

The adversary knows everything except whether the person is in the database. From the earlier rounds' releases they compute the
person's contribution to each block, and project all released numbers onto it. The noise is Gaussian, so this projection is the
most powerful test. It is N(0, 1) without the person and N(mu, 1) with them. Here mu is the root of the sum, over blocks, of the
contribution's squared norm over the squared noise.

The product's own functions (``training.engine.audit``) make each release. They draw its 35 numbers with the exact sampler, round
after round, because each round depends on the noise of the earlier ones. One release takes milliseconds, so a million of each
database would take hours. Releases in bulk would audit another program. The integer sums of the person and of the others are
computed separately, as for two shards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loops.engine.parse.loop import parse_loop
from training.engine.audit.canary import shadow_of
from training.engine.audit.draws import draw_release

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


def audit(runs: int) -> Audited:
    """Make ``runs`` releases of each database, and classify them by the matched filter at half the person's mu."""
    shadow = shadow_of(parse_loop(TOML, source="audit.toml"))
    draws = [[draw_release(shadow, 1 / MU, within=within) for _ in range(runs)] for within in (False, True)]
    z, threshold = tuple(np.array([d.looks[0] for d in side]) for side in draws), MU / 2
    return Audited(
        runs=runs,
        claimed=MU,
        reached=float(np.mean([d.reached for d in draws[1]])),
        false_positives=int((z[0] > threshold).sum()),
        false_negatives=int((z[1] <= threshold).sum()),
        mean=float(z[1].mean() - z[0].mean()),
        deviation=float(np.sqrt((z[0].var() + z[1].var()) / 2)),
    )
