"""The feature map phi: from a state array to the columns that every linear model of the house works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loops.engine.spec import LoopSpec

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureMap:
    """1; numbers scaled to [-1, 1]; one-hot categories without the first (so that the gram has full rank); and, with hinges,
    ``2|z| - 1`` for each learned or drift number. ``hinge_columns`` are the indices of the latter.
    """

    spec: LoopSpec
    hinges: bool

    @classmethod
    def of(cls, spec: LoopSpec, hinges: bool) -> FeatureMap:
        return cls(spec, hinges)

    @property
    def names(self) -> tuple[str, ...]:
        names = ["1"]
        for f in self.spec.features:
            names += [f"{f.name}={c}" for c in f.categories[1:]] if f.is_category else [f.name]
        return (*names, *(f"|{self.spec.features[i].name}|" for i in self._hinged()))

    @property
    def width(self) -> int:
        return len(self.names)

    @property
    def hinge_columns(self) -> tuple[int, ...]:
        return tuple(range(self.width - len(self._hinged()), self.width))

    def columns_of(self, feature: str) -> tuple[int, ...]:
        """Columns of phi that a feature fills (hinges apart): one for a number, one a category but the first."""
        f = self.spec.feature(feature)
        wanted = {f"{feature}={c}" for c in f.categories[1:]} if f.is_category else {feature}
        return tuple(i for i, name in enumerate(self.names) if name in wanted)

    def phi(self, states: Floats) -> Floats:
        """(n, d) columns for states (n, F); numbers are clamped to their bounds first."""
        columns = [np.ones(len(states))]
        for i, f in enumerate(self.spec.features):
            if f.is_category:
                columns += [(states[:, i] == c).astype(np.float64) for c in range(1, len(f.categories))]
            else:
                columns.append(scaled(f.bounds or (0.0, 1.0), states[:, i]))
        columns += [
            2 * np.abs(scaled(self.spec.features[i].bounds or (0.0, 1.0), states[:, i])) - 1 for i in self._hinged()
        ]
        return np.column_stack(columns)

    def _hinged(self) -> tuple[int, ...]:
        if not self.hinges:
            return ()
        return tuple(i for i in self.spec.features_with("learned", "drift") if not self.spec.features[i].is_category)


def scaled(bounds: tuple[float, float], values: Floats) -> Floats:
    """Values mapped from their bounds to [-1, 1], clamped."""
    low, high = bounds
    return np.asarray(np.clip((values - low) / (high - low) * 2 - 1, -1.0, 1.0))
