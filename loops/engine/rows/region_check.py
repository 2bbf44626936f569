"""Check logged propensities in each public region of states, where an error need not show in the whole file.

An action that was never tried while a feature is high keeps a mean of nearly 1 over all rows, and a policy that uses it there is
believed on the model's word. So the mean of 1{a}/p is computed in every region of every feature (``region_axes``).

Its interval has groups of people as units: everybody falls into one of 64 by a digest of their name. Groups are independent as
people are, and hold whole people, so their spread holds any dependence within a person. Memory is therefore bounded by the
loop file, whereas sums by person and region would grow with people times regions. The price: a Student interval has at most
63 degrees of freedom.

1/p is capped at 20 where the file gives all probabilities. A row then counts min(1, 20 p) in place of 1, so that the mean under
right propensities stays 1. Where an action hardly came, groups show too little variance. So the upper end is that of rare
events, each of which may have come to all rows of a person as far as these are alike over the whole file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np

from core.arrays import Bools, Floats, Ints
from loops.engine.rows.assignment_interval import (
    LEAST_DOF,
    PSEUDO_ROWS,
    REGIONS_SHARE,
    WEIGHT_CAP,
    kish,
    level_each,
    rare_bound,
    rows_interval,
)
from loops.engine.rows.choices import LoggedChoice
from loops.engine.rows.features import Cells
from loops.engine.rows.propensities import LEAST_PROPENSITY, ROUNDING
from loops.engine.rows.region_axes import RegionAxis
from loops.engine.spec import Head

# A region of a tenth of the rows has an interval about three times as wide as the file, and so has its tolerance.
REGION_FAR = 0.3
_GROUPS = 64
_LEAST_GROUPS = 10  # with rows in a region: at least as many people
_LEAST_EXPECTED = 10.0  # rows with the action that right propensities expect in a region
_BATCH = 1_024
RegionFinding = Literal["refuted", "never logged", "impossible"]
AmongDrawn = Literal["logged", "explored"]


@dataclass(frozen=True)
class RegionMean:
    """Hold what a region of states says against the propensities of one action, or that the action was impossible there.

    ``rows`` are those in which the action was possible (for "impossible": all), by at least ten people. ``expected`` is how many
    of them should have it. ``mean``, ``low`` and ``high`` are of 1{a}/p; they are 0 for an impossible action.
    """

    head: str
    action: str
    among: AmongDrawn
    region: str
    rows: int
    expected: float
    mean: float
    low: float
    high: float
    finding: RegionFinding

    @property
    def is_refuted(self) -> bool:
        """Return whether the region refutes the propensities."""
        return self.finding != "impossible"

    @property
    def distance(self) -> float:
        """Return how far the interval lies from 1."""
        return max(self.low - 1, 1 - self.high)


class RegionSums:
    """Sum 1{a}/p by region and group of people. Args: heads; axes: one a feature; explored: whether rows are flagged so."""

    def __init__(self, heads: Sequence[Head], axes: Sequence[RegionAxis], *, explored: bool) -> None:
        self._heads, self._axes = list(heads), list(axes)
        among: tuple[AmongDrawn, ...] = ("logged", "explored") if explored else ("logged",)
        self._parts = {(h.name, a): _PartSums(h, axes) for h in heads for a in among}
        self._batch: list[tuple[int, Mapping[str, LoggedChoice], Cells]] = []

    def add(self, group: int, choices: Mapping[str, LoggedChoice], cells: Cells) -> None:
        """Add one available row. ``group`` is the person's (``person_group``)."""
        self._batch.append((group, choices, cells))
        if len(self._batch) == _BATCH:
            self._flush()

    def means(self, correlations: Mapping[tuple[str, str], Floats]) -> list[RegionMean]:
        """Return what speaks against the propensities or shows that an action was impossible, worst first.

        Args: correlations: by head and "logged" or "explored", of 1{a}/p between the rows of a person, (K,).
        """
        self._flush()
        none = np.zeros(max(len(h.actions) for h in self._heads))
        cells = [(*key, cell) for key, part in self._parts.items() for cell in part.cells(correlations.get(key, none))]
        level = level_each(REGIONS_SHARE, sum(cell.is_tested for *_, cell in cells))
        found = [mean for head, among, cell in cells if (mean := cell.result(head, among, level)) is not None]
        return sorted(found, key=lambda m: (not m.is_refuted, -m.distance))

    def _flush(self) -> None:
        places = [axis.places([cells for *_, cells in self._batch]) for axis in self._axes]
        groups = np.array([group for group, *_ in self._batch])
        for head in self._heads:
            found = [(i, choices[head.name]) for i, (_, choices, _) in enumerate(self._batch) if head.name in choices]
            if found:
                rows = np.array([i for i, _ in found])
                self._add(head, [choice for _, choice in found], groups[rows], [p[rows] for p in places])
        self._batch = []

    def _add(self, head: Head, choices: Sequence[LoggedChoice], groups: Ints, places: Sequence[Ints]) -> None:
        k = len(head.actions)
        action = np.array([c.action for c in choices])
        given = np.fromiter(chain.from_iterable([c.probabilities for c in choices]), np.float64, len(choices) * k)
        is_certain = np.array([c.marginal >= 1 - ROUNDING for c in choices])
        self._parts[head.name, "logged"].add(groups, places, action, given.reshape(-1, k), is_certain)
        explored = self._parts.get((head.name, "explored"))
        drawn = np.array([c.explored for c in choices])
        if explored is not None and drawn.any():
            declared = np.tile(head.logging, (int(drawn.sum()), 1))
            never = np.zeros(len(declared), dtype=bool)
            explored.add(groups[drawn], [p[drawn] for p in places], action[drawn], declared, never)


def person_group(user: str) -> int:
    """Return which of the groups a person falls into."""
    return hashlib.blake2b(user.encode("utf-8", "surrogateescape"), digest_size=1).digest()[0] % _GROUPS


class _PartSums:
    """Hold the sums of one head with K actions. By part of an axis and action: (L, K); by group as well: (L, K, 64)."""

    def __init__(self, head: Head, axes: Sequence[RegionAxis]) -> None:
        self._head, self._axes = head, axes
        k, parts = len(head.actions), [axis.parts for axis in axes]
        self._starts = np.concatenate([[0], np.cumsum(parts, dtype=np.int64)])
        size = int(self._starts[-1])
        # Rows (also where the action was certain), then by action rows or min(1, 20 p), then sums of 1{a} min(1/p, 20).
        self._by_group = np.zeros((size * _GROUPS, 1 + 2 * k))
        self._totals = np.zeros((size, k * len(_Row.TOTALS)))
        self._all = np.zeros((k, len(_Row.TOTALS)))
        self._squares, self._taken, self._largest = (np.zeros(k) for _ in range(3))

    def add(self, groups: Ints, places: Sequence[Ints], action: Ints, p: Floats, is_certain: Bools) -> None:
        """Add rows. Args: groups, action, is_certain (n,); places: (n,) for each axis; p (n, K), NaN where not given."""
        row = _Row(action, p, ~is_certain)
        self._squares += (row.sums * np.maximum(row.sums - 1, 0)).sum(0)
        self._taken += (row.sums > 0).sum(0)
        self._all += row.totals.sum(0)
        self._largest = np.maximum(self._largest, row.sums.max(0))
        by_group = np.concatenate([np.ones((len(action), 1)), row.counted, row.sums], axis=1)
        totals = row.totals.reshape(len(action), -1)
        for start, place in zip(self._starts[:-1], places, strict=True):
            _add_up(self._by_group, (start + place) * _GROUPS + groups, by_group, place >= 0)
            _add_up(self._totals, start + place, totals, place >= 0)

    def cells(self, correlation: Floats) -> Iterator[_Cell]:
        """Yield each action in each region with rows of ten people or more. Actions never logged at all are left out."""
        k = len(self._head.actions)
        by_group = self._by_group.reshape(-1, _GROUPS, 1 + 2 * k)
        totals = self._totals.reshape(-1, k, len(_Row.TOTALS))
        for axis, start in zip(self._axes, self._starts[:-1], strict=True):
            seen = by_group[start : start + axis.parts, :, 0].sum(1).astype(np.int64)
            for first, last in axis.regions(seen):
                part = slice(start + first, start + last + 1)
                own = by_group[part].sum(0).T
                if (own[0] > 0).sum() >= _LEAST_GROUPS:
                    for a in np.flatnonzero(self._taken).tolist():
                        groups = own[[0, 1 + a, 1 + k + a]]
                        yield self._cell(
                            axis.words((first, last)), a, groups, totals[part, a].sum(0), float(correlation[a])
                        )

    def _cell(self, region: str, a: int, groups: Floats, totals: Floats, correlation: float) -> _Cell:
        possible, drawn, null, unknown, could = totals
        drawn += unknown * self._taken[a] / self._all[a, 0]
        null += unknown * self._squares[a] / self._all[a, 0]
        seen, counted, sums = groups
        excess = 1 + correlation * max(0.0, (counted**2).sum() / counted.sum() - 1) if counted.any() else 1.0
        rows = int(possible if could else seen.sum())
        return _Cell(
            self._head.actions[a], region, rows, bool(could), drawn, counted, sums, self._largest[a], null, excess
        )


class _Row:
    """Weigh rows. ``counted`` and ``sums`` are (n, K); ``totals`` (n, K, 5) holds what needs no groups: rows in which an action
    was possible and drawn, the probability and variance where the file gives them, rows where it does not, and rows in which the
    action was possible, drawn or certain.
    """

    TOTALS = ("possible", "expected", "null", "unknown", "could")

    def __init__(self, action: Ints, p: Floats, drawn: Bools) -> None:
        unknown = np.isnan(p)
        cap = np.where(unknown.any(1), np.inf, WEIGHT_CAP)[:, None]
        possible = (unknown | (p >= LEAST_PROPENSITY)) & drawn[:, None]
        known = np.where(possible & ~unknown, p, 0.0)
        weight = np.minimum(1 / np.where(known > 0, known, 1.0), cap)
        self.counted = np.where(unknown & possible, 1.0, weight * known)
        self.sums = np.where((np.arange(p.shape[1]) == action[:, None]) & possible, weight, 0.0)
        null = weight**2 * known * (1 - known)
        could = possible | (~unknown & (p >= LEAST_PROPENSITY))
        self.totals = np.stack([possible, known, null, unknown & possible, could], axis=2).astype(np.float64)


def _add_up(table: Floats, index: Ints, values: Floats, is_in: Bools) -> None:
    """Add values (n, C) to the rows of a table (rows, C) that ``index`` (n,) names, where ``is_in`` (n,) holds."""
    index, values = (index, values) if is_in.all() else (index[is_in], values[is_in])
    order = np.argsort(index, kind="stable")
    named, first = np.unique(index[order], return_index=True)
    if named.size:
        table[named] += np.add.reduceat(values[order], first, axis=0)


@dataclass(frozen=True)
class _Cell:
    """Hold one action in one region: ``counted`` and ``sums`` (64,) by group.

    ``largest``: 1/p of a row with the action. ``null``: variance of the sum under right propensities drawn row by row.
    ``excess``: by how much more it may vary, since rows of a person are alike.
    """

    action: str
    region: str
    rows: int
    is_possible: bool
    expected: float
    counted: Floats
    sums: Floats
    largest: float
    null: float
    excess: float

    @property
    def is_tested(self) -> bool:
        """Return whether there is enough in the region to say something, whatever actions were taken there."""
        held = self.counted[self.counted > 0]
        return len(held) >= _LEAST_GROUPS and kish(held) - 1 >= LEAST_DOF and self.expected >= _LEAST_EXPECTED

    def result(self, head: str, among: AmongDrawn, level: float) -> RegionMean | None:
        if not self.is_possible:
            return RegionMean(head, self.action, among, self.region, self.rows, 0.0, 0.0, 0.0, 0.0, "impossible")
        if not self.is_tested:
            return None
        held = self.counted > 0
        counted, sums, null = self.counted[held], self.sums[held], self.null * self.excess
        mean, low, high = rows_interval(counted, sums, PSEUDO_ROWS * self.largest**2, null, level)
        if low is None or high is None:
            return None
        high = min(high, self._rare(counted, sums, level))
        if not (low > 1 + REGION_FAR or high < 1 - REGION_FAR):
            return None
        finding: RegionFinding = "refuted" if self.sums.any() else "never logged"
        return RegionMean(
            head, self.action, among, self.region, self.rows, self.expected, mean, max(0.0, low), high, finding
        )

    def _rare(self, counted: Floats, sums: Floats, level: float) -> float:
        """Return the upper end for an action that hardly came, where groups show too little variance."""
        variance = float(((sums - sums.sum() / counted.sum() * counted) ** 2).sum())
        return rare_bound(float(sums.sum()), variance, self.largest * self.excess, level) / float(counted.sum())
