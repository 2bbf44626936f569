"""Simulate the population with a world model that is computed from one release and nothing else.

A step from state s under action a:

- reward = scale (centre + phi . (theta + tau_a)_0 + noise)
- A learned feature moves by its scale times phi . (theta + tau_a)_j, plus noise.
- A drift feature follows a stationary AR(1) with the released mean and variance, and the declared one-step scale.
- A drift category stays with the released probability.
- A feature with known dynamics is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.state.dynamics import advance_known
from privacy.engine.moments.pooled import Moments
from privacy.engine.moments.release_layout import LEFT_SCALE

ActionRule = Callable[[Floats], Ints]  # (n, F) states -> (n,) actions
BURN_IN = 10


@dataclass(frozen=True)
class StepOutcome:
    """Hold one step of n people: reward (n,) in reward scales, next states (n, F), and the probability (n,) of not leaving."""

    reward: Floats
    next_state: Floats
    stays: Floats


@dataclass(frozen=True)
class World:
    """Hold M sampled worlds. ``coefficients`` (M, K, d, m)."""

    moments: Moments
    coefficients: Floats

    @cached_property
    def noise_sd(self) -> Floats:
        """Return the residual standard deviation (m,) of each whitened target."""
        floor = 2 * self.moments.sd["variances"]
        return np.asarray(np.sqrt(np.maximum(self.moments.residual_variances, max(floor, 0.05) * 0.5)))

    def step(self, states: Floats, actions: Ints, worlds: Ints, rng: np.random.Generator) -> StepOutcome:
        """Advance n people by one step. Random numbers are drawn in the same order whatever the actions are.

        Args:
            states: (n, F).
            actions: (n,).
            worlds: (n,) the world that each person lives in.
        """
        layout, spec = self.moments.layout, self.moments.layout.spec
        phi = layout.phi.phi(states)
        mean = np.einsum("nd,ndm->nm", phi, self.coefficients[worlds, actions])
        noise = rng.normal(size=mean.shape) * self.noise_sd
        moved = advance_known(spec, states, actions != layout.main.reference_index)
        for j, i in enumerate(layout.learned, start=1):
            low, high = spec.features[i].range
            scale = spec.features[i].scale or 1.0
            moved[:, i] = np.clip(states[:, i] + scale * (mean[:, j] + noise[:, j]), low, high)
        self._drift(states, moved, rng)
        leaves = np.clip(mean[:, -1] * LEFT_SCALE, 0.0, 0.5) if layout.logs_leaving else np.zeros(len(states))
        return StepOutcome(mean[:, 0] + self.moments.counts.centre, moved, 1.0 - leaves)

    def _drift(self, states: Floats, moved: Floats, rng: np.random.Generator) -> None:
        layout, spec = self.moments.layout, self.moments.layout.spec
        for i in spec.features_with("drift"):
            feature = spec.features[i]
            shock, pick = rng.normal(size=len(states)), rng.random(len(states))
            if feature.is_category:
                stay = _stay_probability(self.moments, layout.drift_categories.index(i))
                fresh = np.searchsorted(np.cumsum(category_shares(self.moments, i)), rng.random(len(states)))
                moved[:, i] = np.where(pick < stay, states[:, i], np.minimum(fresh, len(feature.categories) - 1))
            else:
                moved[:, i] = _autoregress(self.moments, i, states[:, i], shock)


def initial_states(world: World, n: int, rng: np.random.Generator) -> Floats:
    """Sample states (n, F) from the released first and second moments.

    They are then advanced by ten steps under the logging distribution.
    """
    moments = world.moments
    spec = moments.layout.spec
    states = np.zeros((n, len(spec.features)))
    numbers = [i for i, f in enumerate(spec.features) if not f.is_category]
    mean, covariance = _number_moments(moments, numbers)
    values, vectors = np.linalg.eigh(covariance)
    scaled = mean + rng.normal(size=(n, len(numbers))) @ (vectors * np.sqrt(np.maximum(values, 1e-6))).T
    for column, i in enumerate(numbers):
        low, high = moments.layout.phi.range_of(i)
        states[:, i] = low + (np.clip(scaled[:, column], -1.0, 1.0) + 1.0) / 2.0 * (high - low)
    for i, feature in enumerate(spec.features):
        if feature.is_category:
            states[:, i] = rng.choice(len(feature.categories), size=n, p=category_shares(moments, i))
    logging = np.array(moments.layout.main.logging)
    worlds = np.arange(n) % len(world.coefficients)
    for _ in range(BURN_IN):
        states = world.step(states, rng.choice(len(logging), size=n, p=logging), worlds, rng).next_state
    return states


def category_shares(moments: Moments, feature: int) -> Floats:
    """Return the released share of each category, at least 0.1% each and normalised to 1.

    The first category's share is what the others leave.
    """
    declared = moments.layout.spec.features[feature]
    columns = moments.layout.phi.columns_of(declared.name)
    gram = moments.level_gram.mean
    rest = gram[0, list(columns)] / gram[0, 0]
    shares = np.maximum(np.concatenate([[1.0 - rest.sum()], rest]), 1e-3)
    return np.asarray(shares / shares.sum())


def _number_moments(moments: Moments, numbers: list[int]) -> tuple[Floats, Floats]:
    """Return mean and covariance of the numeric features, in scaled units."""
    phi, spec = moments.layout.phi, moments.layout.spec
    columns = [phi.names.index(spec.features[i].name) for i in numbers]
    gram = moments.level_gram.mean / moments.level_gram.mean[0, 0]
    mean = np.clip(gram[0, columns], -1.0, 1.0)
    covariance = gram[np.ix_(columns, columns)] - np.outer(mean, mean)
    return mean, (covariance + covariance.T) / 2


def _autoregress(moments: Moments, feature: int, values: Floats, shock: Floats) -> Floats:
    """Advance a stationary AR(1) by one step.

    The variance of a one-step change is 2 var (1 - rho), so rho follows from the declared scale.
    """
    declared = moments.layout.spec.features[feature]
    low, high = declared.range
    half, middle = (high - low) / 2, (high + low) / 2
    mean, covariance = _number_moments(moments, [feature])
    change = (declared.scale or 0.0) / half
    variance = max(float(covariance[0, 0]), change**2 / 2)
    rho = float(np.clip(1.0 - change**2 / (2 * variance), 0.0, 0.999))
    scaled = mean[0] + rho * ((values - middle) / half - mean[0]) + np.sqrt(variance * (1 - rho**2)) * shock
    return np.asarray(middle + half * np.clip(scaled, -1.0, 1.0))


def _stay_probability(moments: Moments, index: int) -> float:
    seen = max(float(moments.gram_next[0, 0]), 1e-3)
    return float(np.clip(moments.stays[index] / seen, 0.0, 1.0))
