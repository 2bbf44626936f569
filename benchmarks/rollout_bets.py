"""Measure how many people the bets of a rollout need to find a fault, and how many an A/B test needs to find a winner.

People are new and count once. The bets are the product's, with the shares that they have in a rollout. Sizes are people of both
arms at the first look that proves the fault, with a look at every block of twenty.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.rollout_peers import RUN_SHARE
from benchmarks.streams import Stream, arms_of, values_of
from core.arrays import Bools, Floats
from deployments.engine.evidence.joint_blocks import BLOCK, log_wager_path
from deployments.engine.evidence.normal_mixture import mixture_blocks
from deployments.engine.evidence.restarts import log_minutes_share, restarts
from deployments.engine.evidence.slow_minutes import SlowMinutes, log_slower_path
from deployments.engine.health.triggers import (
    EMPATHY_DROPPED,
    FALSE_INTERVENTIONS_ROSE,
    SILENCE_GREW,
    TRIGGER_BAR,
    ComparedMetric,
)
from deployments.engine.rollouts.ab_test import AbTerms

_AT_ONCE = 100
_RAMP = 1_000
FAULTS: dict[str, tuple[Stream, int]] = {
    "empathy_drop_15": (Stream("empathy", 0.595), 2_000),
    "empathy_drop_10": (Stream("empathy", 0.63), 3_000),
    "empathy_drop_10_of_one_spread": (Stream("empathy_of_one_spread", 0.63), 3_000),
    "false_intervention_doubled": (Stream("harm", 0.16), 8_000),
    "false_intervention_doubled_with_ramp": (Stream("harm", 0.16, ramp=_RAMP), 6_000),
    "false_intervention_doubled_of_many": (Stream("harm_of_many", 0.16), 4_000),
}
_ONSET = 3_000  # 300 good people of the candidate at one in ten, and then half of all people
_STAGE_SHARE = restarts(1, 3, 3, (1, 3))[0].log_share


def compared(stream: Stream) -> ComparedMetric:
    """Return the product's comparison for a stream."""
    return EMPATHY_DROPPED if stream.metric.startswith("empathy") else FALSE_INTERVENTIONS_ROSE


def fault(task: tuple[str, int, int]) -> dict[str, Any]:
    """Find one fault by the test that starts with the rollout. The task: name of the fault, runs and seed."""
    name, runs, seed = task
    stream, people = FAULTS[name]
    rng, sizes = np.random.default_rng([seed, 3, list(FAULTS).index(name)]), np.zeros(0)
    for begin in range(0, runs, _AT_ONCE):
        ours = arms_of(stream, rng, min(_AT_ONCE, runs - begin), people)
        path = log_wager_path(compared(stream).wager(values_of(stream, rng, ours)[..., None], ours))
        sizes = np.r_[sizes, _first(path + RUN_SHARE >= TRIGGER_BAR)]
    return _found(name, sizes)


def _first(proven: Bools) -> Floats:
    return np.where(proven.any(axis=-1), (proven.argmax(axis=-1) + 1.0) * BLOCK, np.inf)


def _found(name: str, sizes: Floats) -> dict[str, Any]:
    return {
        "part": "fault", "name": name, "runs": len(sizes), "found": int(np.isfinite(sizes).sum()),
        "median": float(np.median(sizes)), "nine_tenths": float(np.quantile(sizes, 0.9, method="higher")),
    }  # fmt: skip


def late_fault(task: tuple[float, int, int]) -> dict[str, Any]:
    """Find a fall of empathy that begins with the second stage, after 300 good people of the candidate, within 1,200 people.

    The task: mean empathy after the fall, runs and seed. Both the test through all stages and the stage's own may find it.
    """
    mean, runs, seed = task
    rng, found, alone = np.random.default_rng([seed, 4]), 0, 0
    stream = Stream("empathy", mean, ramp=_ONSET, onset=_ONSET)
    for begin in range(0, runs, _AT_ONCE):
        ours = arms_of(stream, rng, min(_AT_ONCE, runs - begin), _ONSET + 1_200)
        values = values_of(stream, rng, ours)[..., None]
        run = log_wager_path(EMPATHY_DROPPED.wager(values, ours)) + RUN_SHARE >= TRIGGER_BAR
        stage = (
            log_wager_path(EMPATHY_DROPPED.wager(values[:, _ONSET:], ours[:, _ONSET:])) + _STAGE_SHARE >= TRIGGER_BAR
        )
        found += int((run.any(axis=1) | stage.any(axis=1)).sum())
        alone += int(run.any(axis=1).sum())
    return {"part": "late fault", "mean": mean, "runs": runs, "found": found, "by_the_first_test_alone": alone}


SILENT: tuple[tuple[bool, float], ...] = ((True, 0.9), (True, 0.6), (False, 0.9), (False, 0.6))


def silent_fault(task: tuple[int, float, int, int]) -> dict[str, Any]:
    """Find harm of which 30% is reported, within 4,000 people. The task: number of the case, true harm, runs and seed."""
    case, harm, runs, seed = task
    many, answers = SILENT[case]
    rng, sizes = np.random.default_rng([seed, 5, case]), np.zeros(0)
    for begin in range(0, runs, _AT_ONCE):
        shape = (min(_AT_ONCE, runs - begin), 4_000)
        ours = rng.random(shape) < 0.1
        mean = np.where(ours, harm, 0.08)
        count = rng.integers(2, 15, shape) if many else np.ones(shape, dtype=int)
        own = rng.beta(8 * mean, 8 * (1 - mean)) if many else mean
        harmed = rng.binomial(count, own)
        reported = rng.binomial(harmed, np.where(ours & (harm > 0.08), 0.3, answers))
        answered = reported + rng.binomial(count - harmed, answers)
        values = np.stack([answered, count - answered + reported], axis=-1) / count[..., None]
        sizes = np.r_[sizes, _first(log_wager_path(SILENCE_GREW.wager(values, ours)) + RUN_SHARE >= TRIGGER_BAR)]
    whose = "2-14 interventions" if many else "one intervention"
    return _found("", sizes) | {"part": "silent fault", "name": f"{whose}, {answers:.0%} answer", "harm": harm}


def slow_fault(task: tuple[bool, int, int]) -> dict[str, Any]:
    """Find slow answers of .05 against .005, by requests of both arms at 40 a minute.

    The task: whether traffic ramps, runs and seed.
    """
    ramps, runs, seed = task
    rng, sizes = np.random.default_rng([seed, 6, ramps]), np.zeros(runs)
    share = np.where((np.arange(150) * 40 >= _RAMP) & ramps, 0.5, 0.1)
    for run in range(runs):
        ours = rng.binomial(40, share)
        counts = np.stack([ours, rng.binomial(ours, 0.05), 40 - ours, rng.binomial(40 - ours, 0.005)])
        proven = log_slower_path(SlowMinutes.of(counts)) + log_minutes_share(1) >= TRIGGER_BAR
        sizes[run] = (proven.argmax() + 1) * 40.0 if proven.any() else math.inf
    return _found("latency_fault_with_ramp" if ramps else "latency_fault", sizes)


AB_CASES: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.0, 0.2), (0.05, 0.0), (0.05, 0.1), (0.05, 0.2), (0.05, 0.3))
_AB = AbTerms(planned_people=5_000, planned_sd=math.sqrt(0.21))


def ab_test(task: tuple[int, int, int]) -> dict[str, Any]:
    """Run A/B tests of one yes-or-no value a person around .70, with ten earlier values of each.

    The task: number of the case (relative lift, and correlation of one person's values), runs and seed.
    """
    case, runs, seed = task
    lift, icc = AB_CASES[case]
    people = 20_000 if lift else 5_000
    rng, sizes, winners = np.random.default_rng([seed, 8, case]), [], []
    for _ in range(runs):
        ours = rng.random(people) < 0.5
        own = rng.beta(0.7 * (1 / icc - 1), 0.3 * (1 / icc - 1), people) if icc else np.full(people, 0.7)
        past = rng.binomial(10, own) / 10
        values = (rng.random(people) < np.clip(own * (1 + lift * ours), 0, 1)).astype(float)
        paths = [_AB.path(mixture_blocks(values, ours, x)) for x in (None, past)]
        proven = [(path.low > 0) & (np.minimum(path.ours, path.theirs) >= 100) for path in paths]
        sizes.append([(p.argmax() + 1) * BLOCK / 2 if p.any() else math.inf for p in proven])
        winners.append([path.winner(100) for path in paths])
    plain, adjusted = np.median(np.array(sizes), axis=0)
    better, worse = (np.array(winners) == 1).sum(axis=0), (np.array(winners) == -1).sum(axis=0)
    return {
        "part": "A/B", "lift": lift, "icc": icc, "runs": runs, "an_arm": float(plain), "an_arm_with_past": float(adjusted),
        "candidate_wins": better.tolist(), "control_wins": worse.tolist(),
    }  # fmt: skip


def without_fault(task: tuple[int, int]) -> list[dict[str, Any]]:
    """Run the same bets where nothing is wrong. The task: runs of each, and seed."""
    runs, seed = task
    rows = []
    for i, (name, (stream, people)) in enumerate(FAULTS.items()):
        rng, proven = np.random.default_rng([seed, 9, i]), 0
        for begin in range(0, runs, _AT_ONCE):
            ours = arms_of(stream, rng, min(_AT_ONCE, runs - begin), people)
            values = values_of(replace(stream, fault=None), rng, ours)[..., None]
            path = log_wager_path(compared(stream).wager(values, ours))
            proven += int((path + RUN_SHARE >= TRIGGER_BAR).any(axis=1).sum())
        rows.append({"part": "no fault", "name": name, "runs": runs, "proven": proven})
    return rows
