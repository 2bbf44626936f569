"""Write down what people lived under a version, beside what its gates had estimated.

These figures are exact functions of outcomes, as those of health are. They judge the gates. No gate and no training reads them.
"""

from __future__ import annotations

import math

from privacy.engine.dp.coarse_counts import two_digits
from training.models import LIVED, ModelMetric, ModelVersion


def lived_record(
    *, version: ModelVersion, name: str, value: float, low: float | None, high: float | None, users: int
) -> None:
    """Store one lived figure of a version. The newest figure replaces the one before.

    Args:
        name: of the gate's metric that it is compared with, and in its unit: a share, or a reward in the loop's units.
        low, high: its interval. None or infinite where nothing is known. If the bounds cross, the lower one is taken as low.
        users: number of people behind it. It is stored rounded to two digits.
    """
    low, high = _finite(low), _finite(high)
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    ModelMetric.objects.update_or_create(
        version=version,
        source=LIVED,
        name=name,
        defaults={
            "value": value,
            "low": low,
            "high": high,
            "users": float(two_digits(users)),
            "verdict": "reported",
        },
    )


def _finite(bound: float | None) -> float | None:
    return bound if bound is not None and math.isfinite(bound) else None
