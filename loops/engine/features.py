"""The feature map phi: from a state array to the columns that every linear model of the house works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec


@dataclass(frozen=True)
class FeatureMap:
    """1; numbers scaled to [-1, 1]; one-hot categories without the first (so that the gram has full rank); and, with hinges,
    ``2|z| - 1`` for each learned or drift number. ``hinge_columns`` are the indices of the latter.
    """

    spec: LoopSpec
    hinges: bool

    @classmethod
    def of(cls, spec: LoopSpec, hinges: bool) -> FeatureMap:
        """The feature map of a loop, with or without hinges."""
        return cls(spec, hinges)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A name a column, in order: 1, feature or feature=category, |feature|."""
        names = ["1"]
        for f in self.spec.features:
            names += [f"{f.name}={c}" for c in f.categories[1:]] if f.is_category else [f.name]
        return (*names, *(f"|{self.spec.features[i].name}|" for i in self._hinged))

    @cached_property
    def width(self) -> int:
        """d, the number of columns."""
        return len(self.names)

    @property
    def hinge_columns(self) -> tuple[int, ...]:
        """The columns that are hinges: the last ones, none without hinges."""
        return tuple(range(self.width - len(self._hinged), self.width))

    @cached_property
    def owners(self) -> tuple[int, ...]:
        """Index in a state of the feature that each column is made of; -1 for the intercept."""
        owners = [-1] * self.width
        for i, f in enumerate(self.spec.features):
            for column in self.columns_of(f.name):
                owners[column] = i
        owners[self.width - len(self._hinged) :] = self._hinged
        return tuple(owners)

    def columns_of(self, feature: str) -> tuple[int, ...]:
        """Columns of phi that a feature fills (hinges apart): one for a number, one a category but the first."""
        return self._columns[feature]

    @cached_property
    def _columns(self) -> dict[str, tuple[int, ...]]:
        columns, first = {}, 1
        for f in self.spec.features:
            count = len(f.categories) - 1 if f.is_category else 1
            columns[f.name] = tuple(range(first, first + count))
            first += count
        return columns

    def phi(self, states: Floats) -> Floats:
        """(n, d) columns for states (n, F); numbers are clamped to their bounds first."""
        numbers, columns, low, width = self._numbers
        out = np.empty((len(states), self.width))
        out[:, 0] = 1.0
        scaled = np.minimum(np.maximum((states[:, numbers] - low) / width, 0.0), 1.0) * 2.0 - 1.0
        out[:, columns] = scaled
        for i, category, column in self._indicators:
            out[:, column] = states[:, i] == category
        if self._hinged:
            place = [numbers.index(i) for i in self._hinged]
            out[:, -len(place) :] = 2.0 * np.abs(scaled[:, place]) - 1.0
        return out

    def phi_of(self, state: Sequence[float]) -> Floats:
        """(d,) columns for one state (F,): the same numbers as ``phi``, several times as fast for serving."""
        out = [0.0] * self.width
        out[0] = 1.0
        hinge = self.width - len(self._hinged)
        for i, column, low, width, hinged in self._steps:
            share = (state[i] - low) / width
            scaled = -1.0 if share < 0.0 else 1.0 if share > 1.0 else share * 2.0 - 1.0
            out[column] = scaled
            if hinged:
                out[hinge] = 2.0 * abs(scaled) - 1.0
                hinge += 1
        for i, category, column in self._indicators:
            if state[i] == category:
                out[column] = 1.0
        return np.array(out)

    @cached_property
    def _steps(self) -> list[tuple[int, int, float, float, bool]]:
        """Of each number: index in a state, column, lower bound, width of the bounds, whether it has a hinge."""
        numbers, columns, low, width = self._numbers
        hinged = set(self._hinged)
        return [
            (i, c, float(a), float(w), i in hinged) for i, c, a, w in zip(numbers, columns, low, width, strict=True)
        ]

    @cached_property
    def _numbers(self) -> tuple[list[int], list[int], Floats, Floats]:
        """Of the features that are numbers: index in a state, column in phi, lower bound, width of the bounds."""
        found = [(i, f) for i, f in enumerate(self.spec.features) if not f.is_category]
        bounds = np.array([f.range for _, f in found]).reshape(-1, 2)
        columns = [self.columns_of(f.name)[0] for _, f in found]
        return [i for i, _ in found], columns, bounds[:, 0], bounds[:, 1] - bounds[:, 0]

    @cached_property
    def _indicators(self) -> list[tuple[int, int, int]]:
        """Feature index, category index, column of each one-hot column."""
        return [
            (i, category, column)
            for i, f in enumerate(self.spec.features)
            if f.is_category
            for category, column in enumerate(self.columns_of(f.name), start=1)
        ]

    @cached_property
    def _hinged(self) -> tuple[int, ...]:
        if not self.hinges:
            return ()
        return tuple(i for i in self.spec.features_with("learned", "drift") if not self.spec.features[i].is_category)
