"""A feature's value as an app sends it, as states hold it."""

from __future__ import annotations

import math

from core.errors import InputError
from loops.engine.spec import LoopSpec


def feature_value(spec: LoopSpec, index: int, value: float | str) -> tuple[float, bool]:
    """The value, and whether it had to be clamped to its bounds. Raises InputError for another kind of value."""
    feature = spec.features[index]
    if feature.is_category:
        if value not in feature.categories:
            known = ", ".join(feature.categories)
            raise InputError(f"{feature.name} is {value!r}; it takes one of {known}")
        return float(feature.categories.index(str(value))), False
    if isinstance(value, str) or not math.isfinite(value):
        raise InputError(f"{feature.name} is {value!r}; it takes a finite number")
    low, high = feature.range
    inside = min(max(value, low), high)
    return inside, inside != value
