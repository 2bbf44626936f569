"""Define mechanisms with one planted fault each, which the audit must detect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privacy.engine.anonymize.local_dp import draw
from privacy.engine.dp.mechanisms import integer_sum, noise_once
from privacy.engine.dp.threshold_tables import THRESHOLD_STEPS, noise_table
from training.engine.audit.bounds import epsilon_at_least, mu_at_least

CLIP = 1.0


@dataclass(frozen=True)
class Fault:
    """Hold the claimed privacy parameter and the lower bound that draws prove. The fault is caught if ``proven`` is larger."""

    name: str
    claimed: float
    proven: float

    @property
    def caught(self) -> bool:
        """Return whether the audit detects the fault."""
        return self.proven > self.claimed


def faults(draws: int) -> list[Fault]:
    """Audit all faulty mechanisms with this number of draws each."""
    return [record_level(draws), drawn_twice(draws), displaced(draws), float_laplace(draws), cut_off(draws)]


def _noised(records: int, draws: int) -> np.ndarray:
    """Release ``draws`` noised counts at mu = 1, each over this number of records, which are clipped one by one."""
    total = integer_sum(np.ones((records, 1)), clip=CLIP)[0]
    return noise_once(np.full(draws, total), clip=CLIP, sigma=1.0, share=1.0).values


def record_level(draws: int) -> Fault:
    """Clip every record separately although the person has three. They add three clips, but the noise covers one."""
    without, within = _noised(0, draws), _noised(3, draws)
    return Fault("record-level sensitivity of 3 rows", 1.0, mu_at_least(*_errors(without, within, 1.5), draws))


def drawn_twice(draws: int) -> Fault:
    """Draw noise twice for one query and release both results. Their average has half the variance."""
    without, within = ((_noised(n, draws) + _noised(n, draws)) / 2 for n in (0, 1))
    return Fault("noise drawn twice", 1.0, mu_at_least(*_errors(without, within, 0.5), draws))


def displaced(draws: int) -> Fault:
    """Sample exactly 100 people, with noise for adding or removing one person.

    A 101st person replaces another one in the sample, which moves a count from one category to another. The statistic is the
    difference of the two counts over root 2.
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
    """Add Laplace noise in double precision. The set of possible outputs then depends on the secret (Mironov 2012).

    Adding 1 to a smaller number rounds its last bits away, so most outputs near 0 for the secret 0 are impossible for the
    secret 1. The event is an output below 1/2 in size with bits below 2^-53.
    """
    rng, epsilon = np.random.default_rng(), 1.0
    without = rng.laplace(0.0, 1.0 / epsilon, draws)
    within = 1.0 + rng.laplace(0.0, 1.0 / epsilon, draws)
    return Fault("float Laplace", epsilon, epsilon_at_least(int(_fine(without).sum()), int(_fine(within).sum()), draws))


def _fine(outputs: np.ndarray) -> np.ndarray:
    """Return whether outputs have bits that no sum with 1 can have."""
    scaled = outputs * 2.0**53
    return np.asarray((np.abs(outputs) < 0.5) & (scaled != np.rint(scaled)))


def cut_off(draws: int) -> Fault:
    """Cut the tails of grid noise off at half the range. The lower end of the range then never produces the upper end."""
    table = list(noise_table(1.0))
    lost, reach = 0, THRESHOLD_STEPS // 2
    for i in (*range(THRESHOLD_STEPS - reach), *range(THRESHOLD_STEPS + reach + 1, 2 * THRESHOLD_STEPS + 1)):
        lost, table[i] = lost + table[i], 0
    table[THRESHOLD_STEPS] += lost
    from_high, from_low = (
        np.clip(true + draw(table, draws) - THRESHOLD_STEPS, 0, THRESHOLD_STEPS) for true in (THRESHOLD_STEPS, 0)
    )
    hits, others = int((from_high == THRESHOLD_STEPS).sum()), int((from_low == THRESHOLD_STEPS).sum())
    return Fault("noise cut off", 1.0, epsilon_at_least(hits, others, draws))
