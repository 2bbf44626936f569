"""Run the comparisons of a health check on many simulated rollouts at once, with a look after every week and every block.

The bets, shares and sizes are the product's own. Only the selection of people is written anew, over all runs together.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.communities import Lived, World
from core.arrays import Bools, Floats, Ints
from deployments.engine.evidence.joint_blocks import BLOCK, log_wager_path
from deployments.engine.evidence.person_weeks import hash_of
from deployments.engine.evidence.restarts import FIRST_DAY, TILES, log_share
from deployments.engine.evidence.rotation import first_blocks, log_rotating_path, strongest_start
from deployments.engine.health.evidence import LIVED_COLUMNS, LivedWeeks
from deployments.engine.health.triggers import (
    EMPATHY_DROPPED,
    FALSE_INTERVENTIONS_ROSE,
    SILENCE_GREW,
    TRIGGER_BAR,
    ComparedMetric,
)

COMPARED: dict[str, ComparedMetric] = {
    "empathy": EMPATHY_DROPPED,
    "false_intervention": FALSE_INTERVENTIONS_ROSE,
    "silence": SILENCE_GREW,
}


class ManySamples:
    """Hold one test of all runs: people (runs, people) in order, the week after which each is known, and who is there."""

    def __init__(self, values: Floats, ours: Bools, known: Ints, log_weight: float) -> None:
        """Order people by ``known`` and then by their place, which is a hash. ``known`` is 0 for people without a value."""
        order = np.argsort(np.where(known > 0, known, np.iinfo(np.int32).max), axis=1, kind="stable")
        self.values = np.take_along_axis(values, order[..., None], axis=1)
        self.ours, self.known = np.take_along_axis(ours, order, axis=1), np.take_along_axis(known, order, axis=1)
        whole = (self.known > 0).sum(axis=1, keepdims=True) // BLOCK * BLOCK
        self.present = np.arange(known.shape[1]) < whole
        self.log_weight = log_weight

    def judged(self, metric: ComparedMetric, weeks: int) -> tuple[Bools, Bools]:
        """Return (runs, weeks) flags of what is proven, and of what takes a version back, after each week."""
        path = log_wager_path(metric.wager(self.values, self.ours, self.present)) + self.log_weight
        best = np.maximum.accumulate(path, axis=1)
        proven = np.zeros((len(path), weeks), dtype=bool)
        large = np.zeros_like(proven)
        for week in range(1, weeks + 1):
            here = (self.known > 0) & (self.known <= week)
            blocks = np.minimum(here.sum(axis=1) // BLOCK, path.shape[1])
            proven[:, week - 1] = (blocks > 0) & (best[np.arange(len(path)), np.maximum(blocks - 1, 0)] >= TRIGGER_BAR)
        for run, week in zip(*np.nonzero(proven), strict=True):
            here = (self.known[run] > 0) & (self.known[run] <= week + 1)
            large[run, week] = _large(metric, self.values[run][here], self.ours[run][here])
        return proven, proven & large


def _large(metric: ComparedMetric, values: Floats, ours: Bools) -> bool:
    return bool(ours.any() and not ours.all() and metric.size(values[ours], values[~ours])[1])


def rollouts(world: World, lived: Lived) -> tuple[Bools, Bools]:
    """Return (runs, weeks) flags of what is proven by any test until each week, and of what was taken back."""
    metric = COMPARED[world.metric]
    results = [sample.judged(metric, world.weeks) for sample in _samples(world, lived)]
    if world.rotates:
        results.append(_rotating(metric, lived))
    proven, back = (np.logical_or.reduce([r[i] for r in results]) for i in (0, 1))
    return np.logical_or.accumulate(proven, axis=1), np.logical_or.accumulate(back, axis=1)


def _samples(world: World, lived: Lived) -> Iterator[ManySamples]:
    yield _first_days(world, lived)
    if world.rotates:
        return
    for _, weeks in TILES:
        for start in range(world.weeks // weeks):
            log_weight = log_share(weeks, start + 1)
            if log_weight > -np.inf:
                yield _entered(lived, weeks, start, log_weight)


def _first_days(world: World, lived: Lived) -> ManySamples:
    people = lived.day_count.shape[1]
    came = np.arange(people) // world.people + 1 if world.new else np.ones(people, dtype=int)
    known = np.where(lived.day_count > 0, came, 0)
    values = lived.day_totals / np.maximum(lived.day_count, 1)[..., None]
    return ManySamples(values, lived.day_ours, known, float(np.log(FIRST_DAY)))


def _entered(lived: Lived, weeks: int, start: int, log_weight: float) -> ManySamples:
    """Return the test that starts with one tile. People enter with their first tile from then on."""
    runs, all_weeks, people = lived.count.shape
    tiles = all_weeks // weeks - start
    cut = slice(start * weeks, (start + tiles) * weeks)
    count = lived.count[:, cut].reshape(runs, tiles, weeks, people).sum(axis=2)
    totals = lived.totals[:, cut].reshape(runs, tiles, weeks, people, -1).sum(axis=2)
    first = (count > 0).argmax(axis=1)
    pick = (np.arange(runs)[:, None], first, np.arange(people)[None, :])
    known = np.where(count[pick] > 0, (start + first + 1) * weeks, 0)
    ours = lived.ours[:, cut][:, ::weeks][pick]
    return ManySamples(totals[pick] / np.maximum(count[pick], 1)[..., None], ours, known, log_weight)


def _rotating(metric: ComparedMetric, lived: Lived) -> tuple[Bools, Bools]:
    """Run the mixture of person-weeks, one run after the other. A difference is measured where its evidence starts."""
    runs, weeks, people = lived.count.shape
    proven, back = np.zeros((runs, weeks), dtype=bool), np.zeros((runs, weeks), dtype=bool)
    number = np.repeat(np.arange(1, weeks + 1), people)
    for run in range(runs):
        count = lived.count[run].ravel()
        here = count > 0
        values = (lived.totals[run].reshape(weeks * people, -1) / np.maximum(count, 1)[:, None])[here]
        ours, week = lived.ours[run].ravel()[here], number[here]
        starts = [s for s in first_blocks(week, BLOCK, 1, weeks) if s < len(week) // BLOCK]
        crossed = np.flatnonzero(log_rotating_path(metric.wager(values, ours), starts) >= TRIGGER_BAR)
        if not len(crossed):
            continue
        first = int(week[(crossed[0] + 1) * BLOCK - 1])
        proven[run, first - 1 :] = True
        for now in range(first, weeks + 1):
            known = week <= now
            wager = metric.wager(values[known], ours[known])
            begun = [s for s in starts[:now] if s < known.sum() // BLOCK]
            since = begun[strongest_start(wager, begun)] * BLOCK
            back[run, now - 1] = _large(metric, values[known][since:], ours[known][since:])
    return proven, back


def lived_weeks(world: World, lived: Lived, run: int) -> tuple[LivedWeeks, str]:
    """Return one run as a health check reads it, and the name of its comparison. People's places are their order."""
    weeks, people = lived.count.shape[1:]
    ids = _ids_in_order(people)
    week = np.r_[np.zeros(people, dtype=int), np.repeat(np.arange(1, weeks + 1), people)]
    count = np.r_[lived.day_count[run], lived.count[run].ravel()]
    totals = np.concatenate([lived.day_totals[run], lived.totals[run].reshape(weeks * people, -1)])
    ours = np.r_[lived.day_ours[run], lived.ours[run].ravel()]
    columns = {"interventions": count}
    if world.metric == "empathy":
        columns |= {"rated": count, "empathy_sum": totals[:, 0]}
    elif world.metric == "false_intervention":
        columns |= {"answered": count, "harmful": totals[:, 0]}
    else:
        columns |= {"answered": totals[:, 0], "harmful": totals[:, 1] - (count - totals[:, 0])}
    sums = np.stack([columns.get(name, 0.0 * count) for name in LIVED_COLUMNS], axis=1)
    return LivedWeeks(week, np.tile(ids, weeks + 1), ours, sums, 1, weeks), COMPARED[world.metric].name


def _ids_in_order(people: int) -> Ints:
    """Return ids of people whose hashes ascend."""
    return np.argsort(hash_of(np.arange(people)))
