"""A learned policy as arithmetic over the loop's features: the same few lines train, judge and serve it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Array, Floats, Ints
from loops.engine.features import FeatureMap
from loops.engine.spec import LoopSpec


@dataclass(frozen=True)
class LinearPolicy:
    """Greedy in Q(s, a) = phi(s) . weights[a], with ``margin`` added to the reference action's Q (the support cap).

    ``weights`` is (K, d); ties go to the reference. A reference policy has zero weights and any positive margin.
    """

    phi: FeatureMap
    weights: Floats
    margin: float
    reference: int

    def values(self, states: Floats) -> Floats:
        """(n, K) action values, margin included, for states (n, F)."""
        values = self.phi.phi(states) @ self.weights.T
        values[:, self.reference] += self.margin
        return values

    def actions(self, states: Floats) -> Ints:
        """(n,) index of the chosen action."""
        values = self.values(states)
        best = values.argmax(axis=1)
        rows = np.arange(len(best))
        return np.where(values[rows, best] > values[:, self.reference], best, self.reference)

    def probabilities(self, states: Floats) -> Floats:
        """(n, K) probability of each action: 1 for the chosen one."""
        return np.eye(len(self.weights))[self.actions(states)]

    def __call__(self, states: Floats) -> Floats:
        return self.probabilities(states)


def reference_policy(spec: LoopSpec, head: str) -> LinearPolicy:
    """The loop's declared reference action, always."""
    declared = spec.head(head)
    phi = FeatureMap.of(spec, False)
    return LinearPolicy(phi, np.zeros((len(declared.actions), phi.width)), 1.0, declared.reference_index)


def policy_from_arrays(spec: LoopSpec, head: str, arrays: Mapping[str, Array], *, hinges: bool) -> LinearPolicy:
    """The policy whose ``weights`` and ``margin`` a model version stores. Raises ValueError when the shape is not the loop's."""
    declared = spec.head(head)
    phi = FeatureMap.of(spec, hinges)
    weights = np.asarray(arrays["weights"], dtype=np.float64)
    if weights.shape != (len(declared.actions), phi.width):
        raise ValueError(f"weights have shape {weights.shape}; the loop needs {(len(declared.actions), phi.width)}")
    return LinearPolicy(phi, weights, float(arrays["margin"]), declared.reference_index)
