"""Convert a feature's value from an app's format to the number that a state holds."""

from __future__ import annotations

import math

from core.errors import InputError
from loops.engine.spec import LoopSpec


def feature_value(spec: LoopSpec, index: int, value: float | str, *, place: str) -> tuple[float, bool]:
    """Convert a value, and clamp a number to its bounds. A category becomes its index.

    Args: place: path of the value in what was sent, for errors.
    Returns: the number, and whether it was clamped.
    Raises: InputError for an unknown category or a value that is not a finite number.
    """
    feature = spec.features[index]
    if feature.is_category:
        if value not in feature.categories:
            known = ", ".join(feature.categories)
            raise InputError(f"{place} is {_shown(value)}; it takes one of {known}", field=place)
        return float(feature.categories.index(str(value))), False
    if isinstance(value, str) or not math.isfinite(value):
        raise InputError(f"{place} is {_shown(value)}; it takes a finite number", field=place)
    low, high = feature.range
    clamped = min(max(value, low), high)
    return clamped, clamped != value


def _shown(value: float | str) -> str:
    return repr(value[:40] if isinstance(value, str) else value)
