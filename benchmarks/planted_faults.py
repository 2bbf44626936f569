"""Mechanisms with a fault each, which the audit must find: what they claim, and what draws prove."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.audit import epsilon_at_least, mu_at_least
from privacy.engine.anonymize.local_dp import draw
from privacy.engine.dp.mechanisms import integer_sum, noise_once
from privacy.engine.dp.threshold_tables import THRESHOLD_STEPS, noise_table

CLIP = 1.0


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
    return [record_level(draws), drawn_twice(draws), displaced(draws), float_laplace(draws), cut_off(draws)]


def _noised(records: int, draws: int) -> np.ndarray:
    """That many released counts at mu = 1, each of so many records that are clipped one by one and with its own noise."""
    total = integer_sum(np.ones((records, 1)), clip=CLIP)[0]
    return noise_once(np.full(draws, total), clip=CLIP, sigma=1.0, share=1.0).values


def record_level(draws: int) -> Fault:
    """Every record clipped for itself though the person has three: they add three clips, the noise is for one."""
    without, within = _noised(0, draws), _noised(3, draws)
    return Fault("record-level sensitivity of 3 rows", 1.0, mu_at_least(*_errors(without, within, 1.5), draws))


def drawn_twice(draws: int) -> Fault:
    """Noise drawn twice for one question and both released: their average has half the variance."""
    without, within = ((_noised(n, draws) + _noised(n, draws)) / 2 for n in (0, 1))
    return Fault("noise drawn twice", 1.0, mu_at_least(*_errors(without, within, 0.5), draws))


def displaced(draws: int) -> Fault:
    """A draw of 100 people, noised for one more or less: the 101st puts somebody in another's place, and the sums move from the
    one's category to the other's. The statistic: the difference of the two counts over root 2.
    """
    size, rng = 100, np.random.default_rng()
    others, person = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    chosen = rng.random(draws) < size / (size + 1)  # whether the 101st is among the 100
    here, there = (integer_sum(np.array([*[others] * (size - 1), last]), clip=CLIP) for last in (others, person))
    released = [
        np.column_stack([noise_once(total, clip=CLIP, sigma=1.0, share=1.0).values for total in totals])
        for totals in (np.tile(here, (draws, 1)).T, np.where(chosen[:, None], there, here).T)
    ]
    without, within = ((sums[:, 1] - sums[:, 0] + size) / 2**0.5 for sums in released)
    return Fault("a draw of fixed size", 1.0, mu_at_least(*_errors(without, within, 2**-0.5), draws))


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


def cut_off(draws: int) -> Fault:
    """Noise on a grid whose tails are cut off at half the range: from the lower end the upper one cannot come out."""
    kept = list(noise_table(1.0))
    lost, reach = 0, THRESHOLD_STEPS // 2
    for i in (*range(THRESHOLD_STEPS - reach), *range(THRESHOLD_STEPS + reach + 1, 2 * THRESHOLD_STEPS + 1)):
        lost, kept[i] = lost + kept[i], 0
    kept[THRESHOLD_STEPS] += lost
    from_high, from_low = (
        np.clip(true + draw(kept, draws) - THRESHOLD_STEPS, 0, THRESHOLD_STEPS) for true in (THRESHOLD_STEPS, 0)
    )
    hits, others = int((from_high == THRESHOLD_STEPS).sum()), int((from_low == THRESHOLD_STEPS).sum())
    return Fault("noise cut off", 1.0, epsilon_at_least(hits, others, draws))
