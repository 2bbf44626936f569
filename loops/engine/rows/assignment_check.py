"""Check logged propensities against the actions of a file: the mean of 1{a}/p over randomised rows is 1 for every action.

It is computed in one pass over rows in any order. Memory grows with the people of the file, not with its rows. The interval
has the person as its unit (CR2). It is never narrower than the variance that right propensities imply, the mean of 1/p - 1.
A row whose action was certain (p = 1) says nothing about randomisation and is counted apart. One row with a tiny p widens the
interval without bound. So the mean with 1/p capped, which right propensities keep at most 1, may refute them too.

Source: Horvitz and Thompson (1952); Bell and McCaffrey (2002) for the correction of the clustered variance.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.arrays import Floats
from loops.engine.rows.choices import LoggedChoice
from loops.engine.rows.propensities import LEAST_PROPENSITY, ROUNDING
from loops.engine.spec import Head

LEVEL = 0.95  # of all intervals of a file together
FAR = 0.1  # an interval that lies wholly farther than this from 1 refutes the propensities
LEAST_DOF = 8.0  # below it a Student interval is unreliable: the propensities stay unchecked
_PSEUDO_ROWS = 2  # with the largest 1/p, added to the variance: rare rows that were not drawn do not show in it
_CAP = 20.0  # on 1/p, for a second look that no single row can hide
_COLUMNS = 3  # by person and action: rows, sum of 1{a}/p, sum of 1{a} min(1/p, cap)
Among = Literal["logged", "explored", "certain"]
_Interval = tuple[float, float | None, float | None]  # mean, low, high
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
    """Sum 1{a}/p by person for the heads of a loop. Args: heads; explored: whether the file marks explored rows."""

    def __init__(self, heads: Sequence[Head], *, explored: bool) -> None:
        self._heads, self._explored = {h.name: h for h in heads}, explored
        self._people: dict[str, int] = {}
        self._parts: dict[tuple[str, Among], _HeadSums] = {}
        self.certain_rows = dict.fromkeys(self._heads, 0)
        self.rows = dict.fromkeys(self._heads, 0)

    def add(self, user: str, choices: Mapping[str, LoggedChoice]) -> None:
        """Add the choices of one available row."""
        person = self._people.setdefault(user, len(self._people))
        for name, choice in choices.items():
            self.rows[name] += 1
            if choice.marginal >= 1 - ROUNDING:
                self.certain_rows[name] += 1
                self._part(name, "certain").add(person, choice.action, (1.0,) * len(self._heads[name].actions))
            else:
                self._part(name, "logged").add(person, choice.action, choice.probabilities)
            if self._explored and choice.explored:
                self._part(name, "explored").add(person, choice.action, self._heads[name].logging)

    def means(self) -> list[AssignmentMean]:
        """Return the mean of every head and action. Certain rows count only for a head without any other row."""
        parts = [
            (head, among, sums)
            for (head, among), sums in self._parts.items()
            if among != "certain" or (head, "logged") not in self._parts
        ]
        tested = max(1, sum(int((sums.taken > 0).sum()) for _, _, sums in parts))
        return [mean for head, among, sums in parts for mean in sums.means(self._heads[head], among, tested)]

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
        self._taken = [0] * actions
        self._largest = [0.0] * actions  # 1/p of a row in which the action was taken

    @property
    def taken(self) -> np.ndarray:
        return np.array(self._taken)

    def add(self, person: int, action: int, probabilities: Sequence[float]) -> None:
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
            self._sums[place + _COLUMNS * a] += 1
            if a == action:
                self._sums[place + _COLUMNS * a + 1] += 1 / p
                self._sums[place + _COLUMNS * a + 2] += min(1 / p, _CAP)
                self._largest[a] = max(self._largest[a], 1 / p)

    def means(self, head: Head, among: Among, tested: int) -> Iterator[AssignmentMean]:
        table = np.frombuffer(self._sums, dtype=np.float64).reshape(-1, self._k, _COLUMNS)
        for a, action in enumerate(head.actions):
            people = table[table[:, a, 0] > 0, a]
            if not len(people):
                continue
            rows, sums, capped = people.T
            mean, low, high = self._interval(a, rows, sums, tested)
            if _finding(self._taken[a], low, high) == "agrees":
                second = _interval(rows, capped, _unseen(min(self._largest[a], _CAP)), 0.0, tested)
                if second[1] is not None and second[1] > 1 + FAR:
                    mean, low, high = second
            yield AssignmentMean(
                head.name, action, among, int(rows.sum()), len(people), float(self._taken[a] / rows.sum()), mean, low, high,
                _finding(self._taken[a], low, high),
            )  # fmt: skip

    def _interval(self, a: int, rows: Floats, sums: Floats, tested: int) -> _Interval:
        return _interval(rows, sums, _unseen(self._largest[a]), self._null[a], tested)


def _unseen(weight: float) -> float:
    return _PSEUDO_ROWS * weight**2


def _finding(taken: int, low: float | None, high: float | None) -> Finding:
    if not taken:
        return "never logged"
    if low is None or high is None:
        return "too few people"
    return "refuted" if low > 1 + FAR or high < 1 - FAR else "agrees"


def _interval(rows: Floats, sums: Floats, unseen: float, null: float, tested: int) -> _Interval:
    """Return the mean sum(sums) / sum(rows) and its Student interval, one of ``tested``, or no bounds for too few people.

    If a few people have most of the rows, everybody counts at most as much as the person with the median number of rows, in
    the mean as in the interval.

    Args: rows, sums (people,). unseen: added to the variance of the sum. null: variance of the sum under right propensities.
    """
    from scipy.special import stdtrit

    if not sums.any():
        return 0.0, None, None
    null /= rows.sum()
    if _kish(rows) - 1 < LEAST_DOF:
        weight = np.minimum(1.0, np.median(rows) / rows)
        rows, sums = rows * weight, sums * weight
    total, dof = rows.sum(), _kish(rows) - 1
    mean = float(sums.sum() / total)
    if dof < LEAST_DOF:
        return mean, None, None
    residual = (sums - mean * rows) ** 2 / (1 - rows / total)
    variance = max((residual.sum() + unseen) / total**2, null / total)
    reach = float(stdtrit(dof, 1 - (1 - LEVEL) / (2 * tested)) * math.sqrt(variance))
    return mean, max(0.0, mean - reach), mean + reach


def _kish(rows: Floats) -> float:
    return float(rows.sum() ** 2 / (rows**2).sum())
