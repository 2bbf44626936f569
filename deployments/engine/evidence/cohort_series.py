"""Who counts in which bet: a person once in each, whatever their weeks have to do with each other.

A person gives one value an epoch, and people last: what one of them lives in two weeks is alike, so that two weeks of a hundred
people say less than a week of two hundred. A bet therefore takes each person once. Two families of bets begin anew, so that
a fault after a long good time is seen:

- in every epoch; a person enters with the first value that they give from then on. People who last fill such a bet in its
  first epoch, new ones for as long as they come.
- in every span of four epochs, once all of it is closed; a person enters with their mean over the span in which they are
  first seen from then on. A mean of four weeks is less noisy than a week, so smaller faults are seen, later.

The bets share people, so no sum of them is a martingale. What holds whatever they have to do with each other is the union bound:
a bet of weight w speaks at evidence 1 / (alpha w), and the weights of all bets that will ever begin sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from core.arrays import Floats, Ints

SPAN = 4
FIRST = 0.75  # of the false-alarm rate, for the bet that begins with the deployment: harm is likeliest there
_LATER = _SPANS = 0.125


@dataclass(frozen=True)
class UnitSample:
    """What one bet is made on: a value a person, in order; ``starts`` are the indices at which an epoch's people begin."""

    values: Floats
    starts: tuple[int, ...]
    log_weight: float

    @property
    def weight(self) -> float:
        return float(np.exp(self.log_weight))

    @property
    def epochs(self) -> list[Floats]:
        """The values of those who entered in each epoch."""
        return [self.values[a:b] for a, b in pairwise((*self.starts, len(self.values)))]

    def begin(self, epochs: int) -> UnitSample:
        """Only who entered in the first so many epochs: the same bet at an earlier time."""
        end = self.starts[epochs] if epochs < len(self.starts) else len(self.values)
        return UnitSample(self.values[:end], self.starts[:epochs], self.log_weight)


@dataclass(frozen=True)
class CohortSeries:
    """Values in [0, 1] (rewards: in any unit) in the order in which they were counted, an epoch after the other.

    ``people``: whose value it is, None where no two are of one unit. ``starts``: the indices at which epochs begin; ``first``:
    the number of the first of them (1: nothing older is left out; else one that begins a span). ``closed``: how many of these
    epochs get no more values.
    """

    values: Floats
    people: Ints | None = None
    starts: tuple[int, ...] = (0,)
    first: int = 1
    closed: int = 0

    @property
    def size(self) -> int:
        """How many people there are."""
        return len(self.values) if self.people is None else len(np.unique(self.people))

    @property
    def mean(self) -> float | None:
        """Mean over people of each person's mean."""
        return float(_means(self.values, self._people)[1].mean()) if len(self.values) else None

    @cached_property
    def families(self) -> tuple[list[UnitSample], list[UnitSample]]:
        """The samples of bets begun in each epoch, and in each closed span."""
        weeks = _begun(self.values, self._people, self.starts, 1)
        spans = _begun(*self._spans(), SPAN)
        return (
            [UnitSample(v, s, _log_weight(self.first + i)) for i, (v, s) in enumerate(weeks)],
            [UnitSample(v, s, _log_weight_span((self.first - 1) // SPAN + i)) for i, (v, s) in enumerate(spans)],
        )

    @property
    def samples(self) -> list[UnitSample]:
        return [*self.families[0], *self.families[1]]

    def epochs(self, begin: int, end: int | None = None) -> CohortSeries:
        """Only the epochs ``begin`` to before ``end``, counted from 0 here."""
        edges = (*self.starts, len(self.values))
        cut = slice(edges[begin], edges[len(self.starts) if end is None else end])
        people = None if self.people is None else self.people[cut]
        return CohortSeries(
            self.values[cut], people, tuple(s - cut.start for s in self.starts[begin:end]), self.first + begin
        )

    @property
    def _people(self) -> Ints:
        return np.arange(len(self.values)) if self.people is None else self.people

    def _spans(self) -> tuple[Floats, Ints, tuple[int, ...]]:
        """One value a person and closed span, in the order in which they were first seen in it, and where epochs begin."""
        epochs = self.closed // SPAN * SPAN
        edges = self.starts[:epochs]
        end = ([*self.starts, len(self.values)])[epochs]
        span = (np.searchsorted(edges, np.arange(end), side="right") - 1) // SPAN
        people = self._people[:end]
        seen, means = _means(self.values[:end], span * (people.max(initial=0) + 1) + people)
        return means, people[seen], tuple(int(i) for i in np.searchsorted(seen, edges))


def _means(values: Floats, units: Ints) -> tuple[Ints, Floats]:
    """Where each unit is first seen, ascending, and the mean of its values."""
    _, seen, which = np.unique(units, return_index=True, return_inverse=True)
    means = np.bincount(which, values, len(seen)) / np.bincount(which, minlength=len(seen))
    order = np.argsort(seen)
    return seen[order], means[order]


def _begun(values: Floats, people: Ints, epochs: tuple[int, ...], every: int) -> list[tuple[Floats, tuple[int, ...]]]:
    """For bets begun in every so many epochs: each person's first value from there on, and where epochs begin among them."""
    order = np.argsort(people, kind="stable")
    again = np.flatnonzero(np.diff(people[order]) == 0)
    before = np.full(len(people), -1)  # where the same person's value before is
    before[order[again + 1]] = order[again]
    found = []
    for j in range(0, len(epochs), every):
        rows = epochs[j] + np.flatnonzero(before[epochs[j] :] < epochs[j])
        found.append((values[rows], tuple(int(i) for i in np.searchsorted(rows, epochs[j:]))))
    return found


def _log_weight(number: int) -> float:
    """Of the bet begun in epoch 1, 2, ...: 3/4, then the steps of an eighth."""
    return float(np.log(FIRST if number == 1 else _LATER * _step(number - 1)))


def _log_weight_span(index: int) -> float:
    """Of the bet begun in span 0, 1, ...: the steps of another eighth."""
    return float(np.log(_SPANS * _step(index + 1)))


def _step(k: int) -> float:
    """1 / (1 + ln k) - 1 / (1 + ln (k + 1)): these sum to 1 over k = 1, 2, ..., and shrink nearly as slowly as any that do."""
    return float(1 / (1 + np.log(k)) - 1 / (1 + np.log(k + 1)))
