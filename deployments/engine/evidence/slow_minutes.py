"""Compare the slow requests of two arms minute by minute, so that a slow database, which slows both, proves nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.arrays import Floats, Ints
from deployments.engine.evidence.restarts import log_minutes_share
from deployments.engine.evidence.stakes import LATENCY_BET

SLOWER = 0.005  # tolerated excess over the other arm, as a share of a minute's requests over 250 ms
_LARGEST_LOSS = 0.95


@dataclass(frozen=True)
class SlowMinutes:
    """Count the answered and the slow requests of both arms in each minute, in order; each array is (minutes,).

    ``starts``: index at which each day begins. ``first``: number of the first day here.
    """

    ours: Floats
    ours_slow: Floats
    theirs: Floats
    theirs_slow: Floats
    starts: tuple[int, ...] = (0,)
    first: int = 1

    @classmethod
    def of(cls, counts: npt.ArrayLike, starts: tuple[int, ...] = (0,), first: int = 1) -> SlowMinutes:
        """Build from counts (4, minutes): ours answered and slow, theirs answered and slow."""
        ours, ours_slow, theirs, theirs_slow = np.asarray(counts, dtype=float)
        return cls(ours, ours_slow, theirs, theirs_slow, starts, first)

    @property
    def excess(self) -> float | None:
        """Return our share of slow requests minus theirs, in minutes in which both arms were answered."""
        both = (self.ours > 0) & (self.theirs > 0)
        if not both.any():
            return None
        return float(
            self.ours_slow[both].sum() / self.ours[both].sum() - self.theirs_slow[both].sum() / self.theirs[both].sum()
        )

    def since(self, start: int) -> SlowMinutes:
        """Keep the minutes from index ``start`` on."""
        return SlowMinutes(self.ours[start:], self.ours_slow[start:], self.theirs[start:], self.theirs_slow[start:])

    @property
    def tests(self) -> list[tuple[SlowMinutes, float]]:
        """Return the minutes of the test that started on each day, with its log share of the false-alarm rate."""
        return [(self.since(start), log_minutes_share(self.first + i)) for i, start in enumerate(self.starts)]


def log_slower_path(minutes: SlowMinutes) -> Floats:
    """Return the (minutes,) log evidence that our share of slow requests exceeds theirs by more than ``SLOWER``.

    A minute is a block, and each request is one value, 0 or 1. The centre is the other arm's share in earlier minutes.
    """
    n_c, n_s, bet = minutes.ours, minutes.theirs, LATENCY_BET
    share_s, share_c = (n / np.maximum(n_c + n_s, 1) for n in (n_s, n_c))
    seen, slow = n_s.cumsum() - n_s, minutes.theirs_slow.cumsum() - minutes.theirs_slow
    m = (slow + bet.pseudo * bet.prior) / (seen + bet.pseudo)
    cap = _LARGEST_LOSS / np.maximum(np.maximum(share_s * (m + SLOWER), share_c * (1.0 - m)), 1e-9)
    logs = []
    for stake, weight in zip(bet.grid, bet.weights, strict=True):
        ours, theirs = np.minimum(stake, cap) * share_s, np.minimum(stake, cap) * share_c
        factors = (
            minutes.ours_slow * np.log1p(ours * (1.0 - m - SLOWER))
            + (n_c - minutes.ours_slow) * np.log1p(-ours * (m + SLOWER))
            + minutes.theirs_slow * np.log1p(-theirs * (1.0 - m))
            + (n_s - minutes.theirs_slow) * np.log1p(theirs * m)
        )
        logs.append(factors.cumsum() + np.log(weight))
    return np.asarray(np.logaddexp.reduce(logs)) if len(m) else np.zeros(0)


@dataclass(frozen=True)
class MinuteShares:
    """Hold the share of slow requests in each minute (minutes,), in order.

    ``starts``: index at which each hour begins. ``first``: number of the first hour here.
    """

    values: Floats
    starts: tuple[int, ...] = (0,)
    first: int = 1

    @property
    def tests(self) -> list[tuple[Floats, float]]:
        """Return the values of the test that started in each hour, with its log share of the false-alarm rate."""
        return [(self.values[start:], log_minutes_share(self.first + i)) for i, start in enumerate(self.starts)]


def starts_of(ascending: Ints, epochs: range) -> tuple[int, ...]:
    """Return the index at which each epoch begins among ascending numbers of epochs."""
    return tuple(int(i) for i in np.searchsorted(ascending, np.asarray(epochs)))
