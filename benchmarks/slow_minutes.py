"""Simulate the latency that health checks observe: a quarter with the allowed slow minutes, and bad hours after a good month."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.communities import above
from core.arrays import Bools, Floats, Ints
from deployments.engine.evidence.e_process import FRACTIONS
from deployments.engine.evidence.restarts import log_minutes_share
from deployments.engine.evidence.slow_minutes import SlowMinutes, log_slower_path
from deployments.engine.health.metrics import FALSE_ROLLBACK_ALPHA
from deployments.engine.health.triggers import TRIGGER_BAR
from loops.engine.thresholds import SLOW_SHARE

QUARTER_HOURS, MONTH_HOURS = 13 * 7 * 24, 30 * 24
REQUESTS = 20  # per minute


def quiet_latency(runs: int, seed: int) -> dict[str, Any]:
    """Count false alarms in 13 weeks in which each whole minute is slow with probability .05, the allowed share."""
    rng = np.random.default_rng([seed, 5])
    alarmed = np.zeros(runs, dtype=bool)
    bars, before = _bars(), _minutes(rng, runs)
    for number in range(1, QUARTER_HOURS + 1):
        after = _minutes(rng, runs)
        slow = np.concatenate([before, after], axis=1).cumsum(axis=1)
        alarmed |= (slow >= bars[number - 1]).any(axis=1)
        before = after
    count = int(alarmed.sum())
    return {"part": "latency as it may be", "runs": runs, "alarms": count, "at_most": above(count, runs)}


def slow_for_both(runs: int, seed: int) -> dict[str, Any]:
    """Count false alarms of the comparison in two days of a database that slows both arms: every twentieth minute by half.

    For an hour of the second day a third of all requests are slow.
    """
    rng, alarms = np.random.default_rng([seed, 7]), 0
    for run in range(runs):
        slow = np.where(rng.random(2_880) < SLOW_SHARE, 0.5, 0.005)
        slow[2_000:2_060] = 0.3
        ours = rng.binomial(REQUESTS, (0.1, 0.5, 0.95)[run % 3], len(slow))
        counts = ours, rng.binomial(ours, slow), REQUESTS - ours, rng.binomial(REQUESTS - ours, slow)
        minutes = SlowMinutes.of(counts, (0, 1_440))
        alarms += any(log_slower_path(part).max() + share >= TRIGGER_BAR for part, share in minutes.tests)
    return {"part": "slow for both arms", "runs": runs, "alarms": int(alarms), "at_most": above(int(alarms), runs)}


def _minutes(rng: np.random.Generator, runs: int) -> Bools:
    return rng.random((runs, 60)) < SLOW_SHARE


def _bars() -> Ints:
    """Return the (hours, minutes) number of slow minutes among the first 1, 2, ... that an hour's bet needs as proof."""
    n = np.arange(1, 121)
    stakes = np.array(FRACTIONS) / SLOW_SHARE
    slow = np.arange(121)[:, None, None]
    logs = slow * np.log1p(stakes * (1 - SLOW_SHARE)) + (n[:, None] - slow) * np.log1p(-stakes * SLOW_SHARE)
    evidence = np.logaddexp.reduce(logs, axis=2) - np.log(len(stakes))  # (slow, minutes), rising in slow
    return np.array([(evidence < -weight).sum(axis=0) for weight in _weights()])


def _weights() -> list[float]:
    """Return the log of each hour's share of the false-alarm rate."""
    return [log_minutes_share(hour) + float(np.log(FALSE_ROLLBACK_ALPHA)) for hour in range(1, QUARTER_HOURS + 1)]


def _slow_evidence(minutes: Floats, number: int) -> Floats:
    """Return the (runs, minutes) log evidence above the bar, after each minute, of the bet begun in this hour."""
    weight = log_minutes_share(number)
    stakes = np.array(FRACTIONS) / SLOW_SHARE
    logs = [np.log1p(stake * (minutes - SLOW_SHARE)).cumsum(axis=1) for stake in stakes]
    return np.asarray(np.logaddexp.reduce(logs) - np.log(len(logs)) + weight + np.log(FALSE_ROLLBACK_ALPHA))


def bad_hours(runs: int, seed: int) -> list[dict[str, Any]]:
    """Measure the minutes until detection when, after a month, more of the 20 requests per minute become slow.

    The slow period begins at a random minute of an hour.
    """
    rows = []
    for share in (0.10, 0.20, 0.40):
        rng = np.random.default_rng([seed, 6, round(100 * share)])
        found = np.array([_until_proven(rng, share) for _ in range(runs)])
        rows.append(
            {"part": "bad hour after a month", "slow_share": share, "runs": runs, "median_minutes": float(np.median(found)),
             "found_in_60_minutes": float((found <= 60).mean())}
        )  # fmt: skip
    return rows


def _until_proven(rng: np.random.Generator, share: float) -> float:
    """Return the minutes from onset to proof, by the bet of that hour or the next two. Each bet is followed for two hours."""
    onset = int(rng.integers(60))
    slow = rng.binomial(REQUESTS, np.r_[np.full(onset, 0.002), np.full(240 - onset, share)])
    minutes = np.asarray(slow / REQUESTS)
    delays = []
    for hour in range(3):
        evidence = _slow_evidence(minutes[None, 60 * hour : 60 * hour + 120], MONTH_HOURS + hour)[0]
        proven = np.flatnonzero(evidence >= 0)
        delays += [60 * hour + int(proven[0]) + 1 - onset] if len(proven) else []
    return float(min(delays, default=np.inf))
