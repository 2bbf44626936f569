"""Converts zero-concentrated differential privacy, which the platform does not account in, for comparisons with it."""

from __future__ import annotations

import math


def epsilon_of_zcdp(rho: float, delta: float) -> float:
    """Return the epsilon that rho-zCDP implies at delta, minimised over alpha > 1.

    Every alpha gives a valid bound, so the search's own error can only make the result larger.
    Source: Canonne, Kamath and Steinke 2020, proposition 12.
    """
    if rho == 0:
        return 0.0

    def bound(log_excess: float) -> float:
        excess = math.exp(log_excess)
        alpha = 1 + excess
        return alpha * rho - (math.log(alpha) + math.log(delta)) / excess - math.log1p(1 / excess)

    low, high = -25.0, 60.0
    for _ in range(200):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if bound(left) <= bound(right) else (left, high)
    return max(0.0, bound((low + high) / 2))
