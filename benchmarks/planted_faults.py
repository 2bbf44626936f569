"""Mechanisms with a fault each, which the audit must find: what they claim, and what draws prove."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.audit import epsilon_at_least, mu_at_least
from privacy.engine.mechanisms import integer_sum, noise_once

STEPS_CLIP = 1.0


@dataclass(frozen=True)
class Fault:
    """``proven`` above ``claimed``: the fault is caught."""

    name: str
    claimed: float
    proven: float

    @property
    def caught(self) -> bool:
        return self.proven > self.claimed


def faults(draws: int) -> list[Fault]:
    """All of them."""
    return [record_level(draws), drawn_twice(draws), float_laplace(draws)]


def _noised(total: float, draws: int, sigma: float) -> np.ndarray:
    """That many released sums of one number, each with the release's own noise."""
    block = integer_sum(np.full((1, 1), 1.0), clip=STEPS_CLIP)[0] * total
    return noise_once(np.full(draws, round(block)), clip=STEPS_CLIP, sigma=sigma, share=1.0).values


def record_level(draws: int) -> Fault:
    """Sensitivity of one record though the person has three: they add three clips, the noise is for one."""
    without, within = _noised(0.0, draws, 1.0), _noised(3.0, draws, 1.0)
    return Fault("record-level sensitivity of 3 rows", 1.0, mu_at_least(*_errors(without, within, 1.5), draws))


def drawn_twice(draws: int) -> Fault:
    """Noise drawn twice for one question and both released: their average has half the variance."""
    without = (_noised(0.0, draws, 1.0) + _noised(0.0, draws, 1.0)) / 2
    within = (_noised(1.0, draws, 1.0) + _noised(1.0, draws, 1.0)) / 2
    return Fault("noise drawn twice", 1.0, mu_at_least(*_errors(without, within, 0.5), draws))


def _errors(without: np.ndarray, within: np.ndarray, threshold: float) -> tuple[int, int]:
    return int((without > threshold).sum()), int((within <= threshold).sum())


def float_laplace(draws: int) -> Fault:
    """Laplace noise in double precision: which numbers can come out depends on the secret (Mironov 2012).

    Adding 1 to a number below it rounds its last bits away, so most of what comes out near 0 from 0 is no output from 1. The
    event: the output is below 1/2 in size and has bits below 2^-53.
    """
    rng, epsilon = np.random.default_rng(), 1.0
    without = rng.laplace(0.0, 1.0 / epsilon, draws)
    within = 1.0 + rng.laplace(0.0, 1.0 / epsilon, draws)
    return Fault("float Laplace", epsilon, epsilon_at_least(int(_fine(without).sum()), int(_fine(within).sum()), draws))


def _fine(outputs: np.ndarray) -> np.ndarray:
    """Whether an output has bits that no sum with 1 can have."""
    scaled = outputs * 2.0**53
    return np.asarray((np.abs(outputs) < 0.5) & (scaled != np.rint(scaled)))
