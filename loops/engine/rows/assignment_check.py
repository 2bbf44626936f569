"""Check logged propensities against the actions of a file: the mean of 1{a}/p over randomised rows is 1 for every action.

It is computed in one pass over rows in any order. Memory grows with the people of the file, not with its rows. The interval
has the person as its unit (CR2). It is never narrower than the variance that right propensities imply, the mean of 1/p - 1.
A row whose action was certain (p = 1) says nothing about randomisation and is counted apart. One row with a tiny p widens the
interval without bound. So the mean with 1/p capped, which right propensities keep at most 1, may refute them too.

The mean over all rows cannot see an error in a part of them. So regions of states (``region_check``) and the spread between
people (``spread_check``) are checked in the same pass.

Source: Horvitz and Thompson (1952).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.arrays import Bools, Floats
from loops.engine.rows.assignment_interval import (
    MEANS_SHARE,
    PSEUDO_ROWS,
    SPREAD_SHARE,
    WEIGHT_CAP,
    level_each,
    rows_interval,
)
from loops.engine.rows.choices import LoggedChoice
from loops.engine.rows.features import Cells
from loops.engine.rows.propensities import LEAST_PROPENSITY, ROUNDING
from loops.engine.rows.region_axes import RegionAxis
from loops.engine.rows.region_check import RegionMean, RegionSums, person_group
from loops.engine.rows.spread_check import PeopleSpread, spread_finding
from loops.engine.spec import Head

FAR = 0.1  # an interval that lies wholly farther than this from 1 refutes the propensities
_COLUMNS = (
    5  # by person and action: rows, sum of 1{a}/p, sum of 1{a} min(1/p, cap); rows and sum of 1{a}/p on even days
)
Among = Literal["logged", "explored", "certain"]
Finding = Literal["agrees", "refuted", "too few people", "never logged"]


@dataclass(frozen=True)
class AssignmentMean:
    """Hold the mean of 1{a}/p of one action of one head, with its interval.

    ``among``: all randomised rows with their logged propensity, the explored rows with the declared one, or rows whose action
    was certain, where no row was randomised. ``rows`` are those in which the action was possible, ``people`` theirs.
    ``share``: of those rows, in which the action was taken. ``low`` and ``high`` are None without enough people. Mean and
    interval are those with 1/p capped where these alone refute the propensities.
    """

    head: str
    action: str
    among: Among
    rows: int
    people: int
    share: float
    mean: float
    low: float | None
    high: float | None
    finding: Finding


class AssignmentSums:
    """Sum 1{a}/p by person, and by region, for the heads of a loop.

    Args: heads; axes: the features along which regions lie; explored: whether the file marks explored rows.
    """

    def __init__(self, heads: Sequence[Head], axes: Sequence[RegionAxis] = (), *, explored: bool) -> None:
        self._heads, self._explored = {h.name: h for h in heads}, explored
        self._people: dict[str, int] = {}
        self._groups = array("B")
        self._parts: dict[tuple[str, Among], _HeadSums] = {}
        self._regions = RegionSums(heads, axes, explored=explored) if axes else None
        self.certain_rows = dict.fromkeys(self._heads, 0)
        self.rows = dict.fromkeys(self._heads, 0)

    def add(
        self, user: str, choices: Mapping[str, LoggedChoice], cells: Cells | None = None, *, even: bool = False
    ) -> None:
        """Add the choices of one available row. Args: cells: the row, for its region; even: whether its day is an even one."""
        person = self._people.setdefault(user, len(self._people))
        if person == len(self._groups):
            self._groups.append(person_group(user))
        if self._regions is not None and cells is not None:
            self._regions.add(self._groups[person], choices, cells)
        for name, choice in choices.items():
            self.rows[name] += 1
            if choice.marginal >= 1 - ROUNDING:
                self.certain_rows[name] += 1
                self._part(name, "certain").add(person, choice.action, (1.0,) * len(self._heads[name].actions), even)
            else:
                self._part(name, "logged").add(person, choice.action, choice.probabilities, even)
            if self._explored and choice.explored:
                self._part(name, "explored").add(person, choice.action, self._heads[name].logging, even)

    def regions(self) -> list[RegionMean]:
        """Return the regions that refute the propensities, or in which an action was impossible, worst first."""
        if self._regions is None:
            return []
        return self._regions.means({key: sums.correlations() for key, sums in self._parts.items()})

    def spreads(self) -> list[PeopleSpread]:
        """Return how much the propensities of every head and logged action differ between people."""
        parts = [(head, among, sums) for (head, among), sums in self._parts.items() if among != "certain"]
        level = level_each(SPREAD_SHARE, sum(int((sums.taken > 0).sum()) for *_, sums in parts))
        return [spread for head, among, sums in parts for spread in sums.spreads(self._heads[head], among, level)]

    def means(self) -> list[AssignmentMean]:
        """Return the mean of every head and action. Certain rows count only for a head without any other row."""
        parts = [
            (head, among, sums)
            for (head, among), sums in self._parts.items()
            if among != "certain" or (head, "logged") not in self._parts
        ]
        level = level_each(MEANS_SHARE, sum(int((sums.taken > 0).sum()) for *_, sums in parts))
        return [mean for head, among, sums in parts for mean in sums.means(self._heads[head], among, level)]

    def _part(self, name: str, among: Among) -> _HeadSums:
        key = (name, among)
        if key not in self._parts:
            self._parts[key] = _HeadSums(len(self._heads[name].actions))
        return self._parts[key]


class _HeadSums:
    """Hold, for every person and each of K actions, the rows in which it was possible and the sums of 1{a}/p."""

    def __init__(self, actions: int) -> None:
        self._k = actions
        self._sums = array("d")
        self._null = [0.0] * actions  # the variance of the sum under right propensities
        self._squares = [0.0] * actions  # its estimate from the rows in which the action was taken, also for a bound p
        self._taken = [0] * actions
        self._largest = [0.0] * actions  # 1/p of a row in which the action was taken

    @property
    def taken(self) -> np.ndarray:
        return np.array(self._taken)

    def add(self, person: int, action: int, probabilities: Sequence[float], even: bool) -> None:
        width = _COLUMNS * self._k
        place = width * person
        if len(self._sums) < place + width:
            self._sums.extend([0.0] * (place + width - len(self._sums)))
        self._taken[action] += 1
        for a, p in enumerate(probabilities):
            if math.isnan(p):
                p = 1 - probabilities[action]  # its bound: a larger p has a smaller variance
            if p < LEAST_PROPENSITY:
                continue  # this action could not be taken here: such a row would be rejected
            self._null[a] += 1 / p - 1
            own = place + _COLUMNS * a
            self._sums[own] += 1
            if even:
                self._sums[own + 3] += 1
            if a == action:
                self._sums[own + 1] += 1 / p
                self._squares[a] += (1 / p - 1) / p
                self._sums[own + 2] += min(1 / p, WEIGHT_CAP)
                if even:
                    self._sums[own + 4] += 1 / p
                self._largest[a] = max(self._largest[a], 1 / p)

    def spreads(self, head: Head, among: Among, level: float) -> Iterator[PeopleSpread]:
        table = self._table()
        one_action: Bools = (table[:, :, 1] > 0).sum(1) == 1
        for a in np.flatnonzero(self._taken):
            rows, sums, _, even_rows, even_sums = table[:, a].T
            null = self._squares[a] / rows.sum()
            halves = (even_rows, rows - even_rows), (even_sums, sums - even_sums)
            yield PeopleSpread(head.name, head.actions[a], among, *spread_finding(*halves, one_action, null, level))

    def correlations(self) -> Floats:
        """Return the correlation of 1{a}/p between the rows of a person, at least 0, for every action (K,)."""
        table = self._table()
        rows, sums, null = table[:, :, 0], table[:, :, 1], np.array(self._squares)
        total = np.maximum(rows.sum(0), 1.0)
        excess = ((sums - sums.sum(0) / total * rows) ** 2).sum(0) / np.where(null > 0, null, np.inf) - 1
        alike = np.maximum((rows**2).sum(0) / total - 1, 1e-9)
        return np.asarray(np.clip(excess / alike, 0.0, 1.0))

    def means(self, head: Head, among: Among, level: float) -> Iterator[AssignmentMean]:
        table = self._table()
        for a, action in enumerate(head.actions):
            people = table[table[:, a, 0] > 0, a]
            if not len(people):
                continue
            rows, sums, capped = people.T[:3]
            mean, low, high = _interval(rows, sums, self._largest[a], self._null[a], level)
            if _finding(self._taken[a], low, high) == "agrees":
                second = _interval(rows, capped, min(self._largest[a], WEIGHT_CAP), 0.0, level)
                if second[1] is not None and second[1] > 1 + FAR:
                    mean, low, high = second
            yield AssignmentMean(
                head.name, action, among, int(rows.sum()), len(people), float(self._taken[a] / rows.sum()), mean, low, high,
                _finding(self._taken[a], low, high),
            )  # fmt: skip

    def _table(self) -> Floats:
        return np.frombuffer(self._sums, dtype=np.float64).reshape(-1, self._k, _COLUMNS)


def _finding(taken: int, low: float | None, high: float | None) -> Finding:
    if not taken:
        return "never logged"
    if low is None or high is None:
        return "too few people"
    return "refuted" if low > 1 + FAR or high < 1 - FAR else "agrees"


def _interval(
    rows: Floats, sums: Floats, largest: float, null: float, level: float
) -> tuple[float, float | None, float | None]:
    if not sums.any():
        return 0.0, None, None
    mean, low, high = rows_interval(rows, sums, PSEUDO_ROWS * largest**2, null, level)
    return mean, None if low is None else max(0.0, low), high
