"""Select the values that enter each betting test, so that each test counts a person once.

A person gives one value an epoch. Two weeks of one person are correlated, so two weeks of a hundred people carry less
information than one week of two hundred. Each test therefore takes each person once. New tests start regularly, so that a
fault after a long good time is seen:

- A test starts in every epoch. A person enters it with their first value from then on. People who stay enter in its first
  epoch, and new people enter for as long as they come.
- A test starts in every span of four epochs, once the whole span is closed. A person enters it with their mean over the first
  span in which they are seen from then on. A mean of four weeks is less noisy than one week, so such a test finds smaller
  faults, but later.

The tests share people, so their sum is not a martingale. The union bound holds under any dependence: a test of weight w proves
harm at evidence 1 / (alpha w). The weights of all tests that will ever start sum to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from core.arrays import Floats, Ints

SPAN = 4  # epochs
FIRST = 0.75  # share of the false-alarm rate for the test that starts with the deployment, when harm is likeliest
_LATER = _SPANS = 0.125  # shares of the tests of later epochs together, and of those of spans together


@dataclass(frozen=True)
class UnitSample:
    """Hold the values of one betting test, one for each person, in order.

    ``starts``: index of the first person who entered in each epoch. ``log_weight``: log share of the false-alarm rate.
    """

    values: Floats
    starts: tuple[int, ...]
    log_weight: float

    @property
    def weight(self) -> float:
        """Return the test's share of the false-alarm rate."""
        return float(np.exp(self.log_weight))

    @property
    def epochs(self) -> list[Floats]:
        """Return the values of the people who entered in each epoch."""
        return [self.values[a:b] for a, b in pairwise((*self.starts, len(self.values)))]

    def begin(self, epochs: int) -> UnitSample:
        """Keep the people who entered in the first ``epochs`` epochs. This is the same test at an earlier time."""
        end = self.starts[epochs] if epochs < len(self.starts) else len(self.values)
        return UnitSample(self.values[:end], self.starts[:epochs], self.log_weight)


@dataclass(frozen=True)
class CohortSeries:
    """Hold values in [0, 1] (rewards: in any unit), ordered by epoch and then by the order in which they were counted.

    ``people``: the person of each value, or None if each value is of another unit. ``starts``: index at which each epoch begins.
    ``first``: number of the first epoch here. It is 1 if no older epoch is left out, and otherwise begins a span.
    ``closed``: how many of these epochs get no more values.
    """

    values: Floats
    people: Ints | None = None
    starts: tuple[int, ...] = (0,)
    first: int = 1
    closed: int = 0

    @property
    def size(self) -> int:
        """Return the number of people."""
        return len(self.values) if self.people is None else len(np.unique(self.people))

    @property
    def mean(self) -> float | None:
        """Return the mean over people of each person's mean, or None without values."""
        return float(_means(self.values, self._people)[1].mean()) if len(self.values) else None

    @cached_property
    def families(self) -> tuple[list[UnitSample], list[UnitSample]]:
        """Return the samples of the tests that started in each epoch, and of those that started in each closed span."""
        weeks = _test_values(self.values, self._people, self.starts, 1)
        spans = _test_values(*self._spans(), SPAN)
        return (
            [UnitSample(v, s, _log_weight(self.first + i)) for i, (v, s) in enumerate(weeks)],
            [UnitSample(v, s, _log_weight_span((self.first - 1) // SPAN + i)) for i, (v, s) in enumerate(spans)],
        )

    @property
    def samples(self) -> list[UnitSample]:
        """Return the samples of all tests."""
        return [*self.families[0], *self.families[1]]

    def epochs(self, begin: int, end: int | None = None) -> CohortSeries:
        """Keep the epochs from ``begin`` to before ``end``, counted from 0."""
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
        """Return one mean for each person and closed span, in order of first appearance, their people, and where epochs begin."""
        epochs = self.closed // SPAN * SPAN
        edges = self.starts[:epochs]
        end = ([*self.starts, len(self.values)])[epochs]
        span = (np.searchsorted(edges, np.arange(end), side="right") - 1) // SPAN
        people = self._people[:end]
        seen, means = _means(self.values[:end], span * (people.max(initial=0) + 1) + people)
        return means, people[seen], tuple(int(i) for i in np.searchsorted(seen, edges))


def _means(values: Floats, units: Ints) -> tuple[Ints, Floats]:
    """Return the index at which each unit is first seen, ascending, and the mean of its values."""
    _, seen, which = np.unique(units, return_index=True, return_inverse=True)
    means = np.bincount(which, values, len(seen)) / np.bincount(which, minlength=len(seen))
    order = np.argsort(seen)
    return seen[order], means[order]


def _test_values(
    values: Floats, people: Ints, epochs: tuple[int, ...], every: int
) -> list[tuple[Floats, tuple[int, ...]]]:
    """Return the values of a test that starts in each ``every``-th epoch, and the indices at which epochs begin among them.

    The values are each person's first one from that epoch on.
    """
    order = np.argsort(people, kind="stable")
    repeats = np.flatnonzero(np.diff(people[order]) == 0)
    before = np.full(len(people), -1)  # index of the same person's previous value
    before[order[repeats + 1]] = order[repeats]
    samples = []
    for j in range(0, len(epochs), every):
        rows = epochs[j] + np.flatnonzero(before[epochs[j] :] < epochs[j])
        samples.append((values[rows], tuple(int(i) for i in np.searchsorted(rows, epochs[j:]))))
    return samples


def _log_weight(number: int) -> float:
    """Return the log weight of the test that started in epoch 1, 2, ...: 3/4, then decreasing parts of 1/8."""
    return float(np.log(FIRST if number == 1 else _LATER * _weight_part(number - 1)))


def _log_weight_span(index: int) -> float:
    """Return the log weight of the test that started in span 0, 1, ...: decreasing parts of another 1/8."""
    return float(np.log(_SPANS * _weight_part(index + 1)))


def _weight_part(k: int) -> float:
    """Return 1 / (1 + ln k) - 1 / (1 + ln (k + 1)).

    These sum to 1 over k = 1, 2, ... and decrease nearly as slowly as any sequence that does.
    """
    return float(1 / (1 + np.log(k)) - 1 / (1 + np.log(k + 1)))
