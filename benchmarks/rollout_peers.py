"""Judge streams of people by the rules of other tools, each tuned as its users tune it, and by the product's bets.

Every rule looks once a day (100 people), at empathy, false interventions and slow answers, and takes the candidate back for any
of them. What is left after 3,000 people is shipped by every rule but ours.

- *daily t-test*: Welch, one-sided at .05, on all values so far.
- *fixed thresholds* as in Argo Rollouts and Flagger: empathy 10% lower, false interventions 50% more, or 2% more slow answers, in
  three checks in a row, on all values so far.
- *GrowthBook's safe rollouts*: a one-sided asymptotic confidence sequence for each guardrail, with alpha .05 and a tuning
  parameter of 5,000, which are its defaults, and tuned to these sizes (1,500, alpha .05 / 3). At the end its advice is to ship.

Sources: https://docs.growthbook.io/features/safe-rollouts, https://docs.growthbook.io/statistics/sequential, the public code of
gbstats (one-sided half-width); https://fluxcd.io/flagger/usage/metrics; https://argo-rollouts.readthedocs.io (failureLimit).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtr

from benchmarks.streams import DAY, Stream, StreamMetric, StreamTimes, arms_of, values_of
from core.arrays import Bools, Floats
from deployments.engine.evidence.fixed_time import RewardMoments, ValueMoments
from deployments.engine.evidence.joint_blocks import BLOCK, JointBlocks, NullHypothesis, log_joint_path, log_wager_path
from deployments.engine.evidence.restarts import restarts
from deployments.engine.evidence.slow_minutes import SLOWER
from deployments.engine.evidence.stakes import LATENCY_BET
from deployments.engine.health.triggers import EMPATHY_DROPPED, FALSE_INTERVENTIONS_ROSE, TRIGGER_BAR
from deployments.engine.rollouts.arm_values import ArmMoments
from deployments.engine.rollouts.conditions import empathy_is_kept, false_interventions_are_few

PEOPLE = 3_000
METRICS: tuple[StreamMetric, ...] = ("empathy", "harm", "slow")
RUN_SHARE = restarts(1, 1, 1, (1,))[0].log_share  # of the test that starts with a rollout and goes through its stages
WORLDS: tuple[tuple[str, StreamMetric | None, float, StreamTimes], ...] = (
    ("nothing wrong", None, 0.0, "calm"), ("incident in both arms", None, 0.0, "incident"),
    ("weekends in both arms", None, 0.0, "weekend"), ("drift in both arms", None, 0.0, "drift"),
    ("empathy -15%", "empathy", 0.595, "calm"), ("empathy -10%", "empathy", 0.63, "calm"),
    ("empathy -5%", "empathy", 0.665, "calm"), ("false interventions x2", "harm", 0.16, "calm"),
    ("false interventions x1.5", "harm", 0.12, "calm"), ("slow answers .005 to .05", "slow", 0.05, "calm"),
)  # fmt: skip
_Sums = tuple[Floats, Floats, Floats, Floats, Floats, Floats]  # n, mean and variance of each arm, (runs, days)


def peers(task: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Judge one world by every rule. The task: number of the world, runs and seed."""
    world, runs, seed = task
    name, metric, fault, times = WORLDS[world]
    rng = np.random.default_rng([seed, 7, world])
    ours = arms_of(Stream("empathy"), rng, runs, PEOPLE)
    values = {m: values_of(Stream(m, fault if m == metric else None, times=times), rng, ours) for m in METRICS}
    sums = {m: _sums(v, ours) for m, v in values.items()}
    rows = []
    for rule, judge in _RULES.items():
        back = np.logical_or.reduce([judge(m, s) for m, s in sums.items()])
        rows.append(_row(name, rule, np.where(back.any(axis=1), (back.argmax(axis=1) + 1.0) * DAY, np.inf)))
    found = np.minimum.reduce([_by_bets(m, v, ours) for m, v in values.items()])
    kept = np.array([_ships(values, ours, run) for run in range(runs)])
    rows.append(_row(name, "bets", found, shipped=np.isinf(found) & kept))
    return rows


def _row(world: str, rule: str, found: Floats, shipped: Bools | None = None) -> dict[str, Any]:
    within = np.isfinite(found)
    return {
        "part": "peers", "world": world, "rule": rule, "runs": len(found), "taken_back": int(within.sum()),
        "median": float(np.median(found)), "shipped": int((~within if shipped is None else shipped).sum()),
    }  # fmt: skip


def _sums(values: Floats, ours: Bools) -> _Sums:
    out: list[Floats] = []
    for arm in (ours, ~ours):
        n, total, square = (x.cumsum(axis=1)[:, DAY - 1 :: DAY] for x in (arm * 1.0, arm * values, arm * values**2))
        mean = total / np.maximum(n, 1)
        out += [n, mean, np.maximum(square - n * mean**2, 0) / np.maximum(n - 1, 1)]
    return out[0], out[1], out[2], out[3], out[4], out[5]


def _harm(metric: StreamMetric, sums: _Sums) -> tuple[Floats, Floats]:
    """Return how much worse the candidate is, and the standard error."""
    n, mean, variance, m, other, spread = sums
    sign = -1.0 if metric == "empathy" else 1.0
    return sign * (mean - other), np.sqrt(variance / np.maximum(n, 1) + spread / np.maximum(m, 1))


def _daily_t(metric: StreamMetric, sums: _Sums) -> Bools:
    n, _, variance, m, _, spread = sums
    harm, error = _harm(metric, sums)
    a, b = variance / np.maximum(n, 1), spread / np.maximum(m, 1)
    dof = (a + b) ** 2 / np.maximum(a**2 / np.maximum(n - 1, 1) + b**2 / np.maximum(m - 1, 1), 1e-30)
    return np.asarray((error > 0) & (stdtr(np.maximum(dof, 1.0), -harm / np.maximum(error, 1e-12)) < 0.05))


def _fixed(metric: StreamMetric, sums: _Sums) -> Bools:
    _, mean, _, _, other, _ = sums
    worse = {"empathy": mean < 0.9 * other, "harm": mean > 1.5 * other, "slow": mean > other + 0.02}[metric]
    streak = worse.copy()
    streak[:, 2:] &= worse[:, 1:-1] & worse[:, :-2]
    streak[:, :2] = False
    return np.asarray(streak)


def _growthbook(alpha: float, tuning: float) -> Callable[[StreamMetric, _Sums], Bools]:
    from_alpha = -2 * math.log(2 * alpha)
    rho2 = (from_alpha + math.log1p(from_alpha)) / tuning

    def judge(metric: StreamMetric, sums: _Sums) -> Bools:
        harm, error = _harm(metric, sums)
        n = sums[0] + sums[3]
        half = error * np.sqrt(2 * (n * rho2 + 1) / (n * rho2) * np.log1p(np.sqrt(n * rho2 + 1) / (2 * alpha)))
        return np.asarray((error > 0) & (harm > half))

    return judge


_RULES: dict[str, Callable[[StreamMetric, _Sums], Bools]] = {
    "daily t-test": _daily_t,
    "fixed thresholds": _fixed,
    "growthbook, as it comes": _growthbook(0.05, 5_000),
    "growthbook, tuned": _growthbook(0.05 / 3, 1_500),
    "growthbook, tuned, at our error": _growthbook(0.0025, 1_500),
}


def _by_bets(metric: StreamMetric, values: Floats, ours: Bools) -> Floats:
    """Return the number of people at which the bet that runs through a rollout proves harm, (runs,)."""
    if metric == "slow":
        path = log_joint_path(JointBlocks.of(values, ours), LATENCY_BET, NullHypothesis(1.0, SLOWER))
    else:
        compared = EMPATHY_DROPPED if metric == "empathy" else FALSE_INTERVENTIONS_ROSE
        path = log_wager_path(compared.wager(values[..., None], ours))
    proven = path + RUN_SHARE >= TRIGGER_BAR
    return np.where(proven.any(axis=1), (proven.argmax(axis=1) + 1.0) * BLOCK, np.inf)


def _ships(values: dict[StreamMetric, Floats], ours: Bools, run: int) -> bool:
    """Tell whether the conditions on empathy and false interventions would let this candidate serve everybody."""
    ours_of, theirs_of = (_moments(values, arm, run) for arm in (ours[run], ~ours[run]))
    return empathy_is_kept(ours_of, theirs_of).holds and false_interventions_are_few(ours_of, theirs_of).holds


def _moments(values: dict[StreamMetric, Floats], arm: Bools, run: int) -> ArmMoments:
    empathy, harm, nothing = (
        ValueMoments.of(values["empathy"][run][arm]), ValueMoments.of(values["harm"][run][arm]), ValueMoments(0),
    )  # fmt: skip
    return ArmMoments(int(arm.sum()), empathy, harm, RewardMoments(0), nothing, nothing)


def print_peers(rows: Sequence[dict[str, Any]]) -> None:
    """Print, by world and rule, what is taken back within 3,000 people, when, and what is shipped."""
    print(f"{'world':<26} {'rule':<32} {'taken back':>10} {'median':>8} {'shipped':>8}")
    for r in (r for r in rows if r["part"] == "peers"):
        median = "-" if math.isinf(r["median"]) else f"{r['median']:.0f}"
        print(
            f"{r['world']:<26} {r['rule']:<32} {r['taken_back'] / r['runs']:>10.1%} {median:>8} {r['shipped'] / r['runs']:>8.1%}"
        )
