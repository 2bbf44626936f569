"""Evaluate linear policies over a loop's features. Training, evaluation and serving share this code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import Array, Bools, Floats, Ints
from loops.engine.features import FeatureMap
from loops.engine.spec import LoopSpec


@dataclass(frozen=True)
class LinearPolicy:
    """Choose the greedy action in Q(s, a) = phi(s) . weights[a], with ``margin`` added to the reference action's Q.

    The margin caps departures from the logged support. ``weights`` is (K, d). Ties go to the reference action.
    The reference policy itself has zero weights and any positive margin.
    """

    phi: FeatureMap
    weights: Floats
    margin: float
    reference: int

    def values(self, states: Floats) -> Floats:
        """Compute action values, margin included.

        Args: states: (n, F).
        Returns: (n, K).
        """
        values = self.phi.phi(states) @ self.weights.T
        values[:, self.reference] += self.margin
        return values

    def actions(self, states: Floats, allowed: Bools | None = None) -> Ints:
        """Return the (n,) indices of the chosen actions for (n, F) states.

        ``allowed`` (n, K): which actions may be chosen, among them the reference. None: all.
        """
        values = self.values(states) if allowed is None else np.where(allowed, self.values(states), -np.inf)
        best = values.argmax(axis=1)
        rows = np.arange(len(best))
        return np.where(values[rows, best] > values[:, self.reference], best, self.reference)

    def probabilities(self, states: Floats) -> Floats:
        """Return (n, K) action probabilities for (n, F) states: 1 for the chosen action, 0 otherwise."""
        return np.eye(len(self.weights))[self.actions(states)]

    def __call__(self, states: Floats) -> Floats:
        return self.probabilities(states)


def never_choosing(weights: Floats, actions: Sequence[int], reference: int) -> Floats:
    """Return weights (K, d) under which these actions are always worth one unit less than the reference, so never chosen."""
    out = weights.copy()
    out[list(actions)] = weights[reference]
    out[list(actions), 0] -= 1.0
    return out


def reference_policy(spec: LoopSpec, head: str) -> LinearPolicy:
    """Build the policy that always chooses the head's declared reference action."""
    declared = spec.head(head)
    phi = FeatureMap.of(spec, False)
    return LinearPolicy(phi, np.zeros((len(declared.actions), phi.width)), 1.0, declared.reference_index)


def policy_from_arrays(spec: LoopSpec, head: str, arrays: Mapping[str, Array], *, hinges: bool) -> LinearPolicy:
    """Build the policy from the ``weights``, ``margin`` and ``support`` that a model version stores.

    A version without ``support`` was trained on features that were held by their bounds alone.
    Raises: ValueError when the shape of the weights does not fit the loop.
    """
    declared = spec.head(head)
    support = tuple((float(low), float(high)) for low, high in np.asarray(arrays.get("support", ())))
    phi = FeatureMap.of(spec, hinges, support)
    weights = np.asarray(arrays["weights"], dtype=np.float64)
    if weights.shape != (len(declared.actions), phi.width):
        raise ValueError(f"weights have shape {weights.shape}; the loop needs {(len(declared.actions), phi.width)}")
    return LinearPolicy(phi, weights, float(arrays["margin"]), declared.reference_index)
