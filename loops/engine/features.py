"""Compute the feature map phi, from a state array to the design-matrix columns that every linear model uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec


@dataclass(frozen=True)
class FeatureMap:
    """Map states to an intercept, numbers scaled to [-1, 1], and one-hot categories.

    The first category has no column, so that the Gram matrix has full rank. With ``hinges`` there is one more column,
    ``2|z| - 1``, for each scaled number z with learned or drift dynamics. ``hinge_columns`` are the indices of these.
    ``support`` is the range to which each feature's number is held, and which is scaled to [-1, 1] (``known_support``). Empty for
    the bounds.
    """

    spec: LoopSpec
    hinges: bool
    support: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, spec: LoopSpec, hinges: bool, support: tuple[tuple[float, float], ...] = ()) -> FeatureMap:
        """Build the feature map of a loop, with or without hinges."""
        return cls(spec, hinges, support)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return one name per column, in order: 1, then feature or feature=category, then |feature|."""
        names = ["1"]
        for f in self.spec.features:
            names += [f"{f.name}={c}" for c in f.categories[1:]] if f.is_category else [f.name]
        return (*names, *(f"|{self.spec.features[i].name}|" for i in self._hinged))

    def range_of(self, feature: int) -> tuple[float, float]:
        """Return the range of a numeric feature that is scaled to [-1, 1]."""
        return self.support[feature] if self.support else self.spec.features[feature].range

    @cached_property
    def width(self) -> int:
        """Return d, the number of columns."""
        return len(self.names)

    @property
    def hinge_columns(self) -> tuple[int, ...]:
        """Return the indices of the hinge columns, which come last. Empty without hinges."""
        return tuple(range(self.width - len(self._hinged), self.width))

    @cached_property
    def owners(self) -> tuple[int, ...]:
        """Return, for each column, the index of its feature in a state, and -1 for the intercept."""
        owners = [-1] * self.width
        for i, f in enumerate(self.spec.features):
            for column in self.columns_of(f.name):
                owners[column] = i
        owners[self.width - len(self._hinged) :] = self._hinged
        return tuple(owners)

    def columns_of(self, feature: str) -> tuple[int, ...]:
        """Return the columns of a feature, without hinges: one for a number, and one per category except the first."""
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
        """Compute phi for many states. Numbers are first held to their range.

        Args: states: (n, F).
        Returns: (n, d).
        """
        numbers, columns, low, width = self._numbers
        out = np.empty((len(states), self.width))
        out[:, 0] = 1.0
        scaled = np.minimum(np.maximum((states[:, numbers] - low) / width, 0.0), 1.0) * 2.0 - 1.0
        out[:, columns] = scaled
        for i, category, column in self._indicators:
            out[:, column] = states[:, i] == category
        if self._hinged:
            positions = [numbers.index(i) for i in self._hinged]
            out[:, -len(positions) :] = 2.0 * np.abs(scaled[:, positions]) - 1.0
        return out

    def phi_of(self, state: Sequence[float]) -> Floats:
        """Compute phi for one state without arrays, several times as fast as ``phi``, for serving.

        Args: state: (F,).
        Returns: (d,), numerically equal to a row of ``phi``.
        """
        out = [0.0] * self.width
        out[0] = 1.0
        hinge = self.width - len(self._hinged)
        for i, column, low, width, hinged in self._steps:
            share = (state[i] - low) / width
            scaled = (0.0 if share < 0.0 else 1.0 if share > 1.0 else share) * 2.0 - 1.0
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
        """Return, per number: index in a state, column, lower end and width of the range, whether it has a hinge."""
        hinged = set(self._hinged)
        return [(i, c, float(a), float(w), i in hinged) for i, c, a, w in zip(*self._numbers, strict=True)]

    @cached_property
    def _numbers(self) -> tuple[list[int], list[int], Floats, Floats]:
        """Return, for numeric features: index in a state, column of phi, lower end and width of the range."""
        numeric = [i for i, f in enumerate(self.spec.features) if not f.is_category]
        held = np.array([self.range_of(i) for i in numeric]).reshape(-1, 2)
        columns = [self.columns_of(self.spec.features[i].name)[0] for i in numeric]
        return numeric, columns, held[:, 0], held[:, 1] - held[:, 0]

    @cached_property
    def _indicators(self) -> list[tuple[int, int, int]]:
        """Return feature index, category index and column of each one-hot column."""
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
