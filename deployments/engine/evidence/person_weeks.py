"""Select the people and values of each test, so that a test counts a person once and takes all that they said in its time.

A person gives one value a tile of one, two or four whole weeks of the deployment: the mean over all their closed decisions in
it. One weekday is therefore never taken for a week. Within a tile people stand in the order of a hash, which has nothing to do
with their arm or with the time of day at which they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from core.arrays import Bools, Floats, Ints
from deployments.engine.evidence.restarts import FIRST_DAY, TILES, Over, Restart, restarts


@dataclass(frozen=True)
class TestSample:
    """Hold the people of one test in order: ``values`` (people, V), and whether each one is ``ours``, under the watched version.

    ``log_weight``: log share of the false-alarm rate. ``over``: the time that a value stands for.
    """

    __test__ = False  # is no test of pytest

    over: Over
    values: Floats
    ours: Bools
    log_weight: float

    @property
    def weight(self) -> float:
        """Return the test's share of the false-alarm rate."""
        return float(np.exp(self.log_weight))

    def arm(self, *, ours: bool, column: int = 0) -> Floats:
        """Return one value of each person of one arm, in order."""
        return np.asarray(self.values[self.ours == ours, column])


@dataclass(frozen=True)
class PersonWeeks:
    """Hold one metric of both arms: for each person and week a ``count`` > 0 (n,) and ``totals`` (n, V) of which it is the count.

    ``week``: 1, 2, ... of the deployment, all of them closed. 0 marks a person's first day, and those rows stand in the order of
    their first exposure. ``first``: number of the first week here; 1 if no older week is left out, and otherwise begins a span.
    ``closed``: number of the last closed week. ``stage_starts``: the first whole week of each stage of a rollout; empty without
    stages. A week in which the share of traffic changed belongs to no stage and has no rows.
    """

    week: Ints
    person: Ints
    ours: Bools
    count: Floats
    totals: Floats
    first: int = 1
    closed: int = 0
    stage_starts: tuple[int, ...] = ()

    @property
    def days(self) -> TestSample:
        """Return the test of people's first days."""
        rows = self.week == 0
        values = self.totals[rows] / self.count[rows, None]
        return TestSample("first day", values, self.ours[rows], float(np.log(FIRST_DAY)))

    @property
    def samples(self) -> list[TestSample]:
        """Return all tests over whole weeks, the one of the whole deployment first."""
        return [sample for over, weeks in TILES for sample in self._tests(over, weeks)]

    def person_means(self, *, ours: bool) -> Floats:
        """Return the mean of each person of one arm over all their closed weeks, (people,)."""
        rows = (self.week > 0) & (self.ours == ours)
        _, which = np.unique(self.person[rows], return_inverse=True)
        counts = np.bincount(which, self.count[rows])
        return np.asarray(np.bincount(which, self.totals[rows, 0], len(counts)) / np.maximum(counts, 1e-12))

    def in_order(self) -> tuple[Ints, Ints, Floats, Bools]:
        """Return week, person, values (n, V) and arm of each person and week, in the order of week and hash."""
        rows = np.flatnonzero(self.week > 0)
        rows = rows[np.lexsort((hash_of(self.person[rows]), self.week[rows]))]
        return self.week[rows], self.person[rows], self.totals[rows] / self.count[rows, None], self.ours[rows]

    def _tests(self, over: Over, weeks: int) -> list[TestSample]:
        """Return the tests that started with each tile of so many weeks. A person enters with their first tile from then on."""
        found: list[TestSample] = []
        for (origin, last), tests in groupby(
            restarts(weeks, self.first, self.closed, self.stage_starts), key=lambda test: (test.origin, test.last)
        ):
            found += self._tests_of_tiles(over, weeks, origin, last, list(tests))
        return found

    def _tests_of_tiles(self, over: Over, weeks: int, origin: int, last: int, tests: list[Restart]) -> list[TestSample]:
        tile, person, ours, values = self.in_tiles(weeks, origin, last)
        before = _previous(person, tile)
        found = []
        for test in tests:
            start = (test.week - origin) // weeks
            enter = (tile >= start) & (before < start)
            found.append(TestSample(over, values[enter], ours[enter], test.log_share))
        return found

    def in_tiles(self, weeks: int, origin: int, last: int) -> tuple[Ints, Ints, Bools, Floats]:
        """Return (tile, person, arm, values) of each person and whole closed tile, in the order of tile and hash.

        Tiles are counted from week ``origin`` on, and the last one ends with week ``last`` at the latest.
        """
        whole = (last - origin + 1) // weeks * weeks
        rows = (self.week >= origin) & (self.week < origin + whole)
        keys = np.stack([(self.week[rows] - origin) // weeks, self.person[rows], self.ours[rows]], axis=1)
        units, which = np.unique(keys, axis=0, return_inverse=True)
        which = which.reshape(-1)
        counts = np.bincount(which, self.count[rows], len(units))
        sums = [np.bincount(which, column, len(units)) for column in self.totals[rows].T]
        tile, person, ours = units[:, 0], units[:, 1], units[:, 2].astype(bool)
        order = np.lexsort((ours, hash_of(person), tile))
        return tile[order], person[order], ours[order], (np.stack(sums, axis=1) / counts[:, None])[order]


def _previous(person: Ints, tile: Ints) -> Ints:
    """Return the tile of the same person's previous value, or -1."""
    order = np.argsort(person, kind="stable")
    repeats = np.flatnonzero(np.diff(person[order]) == 0)
    before = np.full(len(person), -1)
    before[order[repeats + 1]] = tile[order[repeats]]
    return before


def hash_of(person: Ints) -> Ints:
    """Return a fixed hash of each person's number (splitmix64). It is independent of the arm, which hashes a secret salt."""
    with np.errstate(over="ignore"):
        x = person.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)), dtype=np.uint64)  # type: ignore[return-value]
