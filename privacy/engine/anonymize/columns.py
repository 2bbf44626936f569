"""The columns of records that every technique reads: numbers within public bounds, or an index among public categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from core.errors import InputError
from loops.engine.spec import LoopSpec


@dataclass(frozen=True)
class Column:
    """One column. ``low`` and ``high`` are public constants of the loop, never of the data.

    A category's value is its index as a float. ``bins`` and ``parents`` (one per category) are the loop's hierarchy.
    """

    name: str
    low: float
    high: float
    categories: tuple[str, ...] = ()
    bins: int = 5
    parents: tuple[str, ...] = ()


def columns_of(spec: LoopSpec, names: Sequence[str] | None = None) -> tuple[Column, ...]:
    """Return the loop's features as columns, in the loop's order: all of them, or those in ``names``.

    Raises InputError for an unknown name and for an empty list.
    """
    unknown = sorted(set(names or ()) - set(spec.feature_names))
    if unknown:
        raise InputError(
            f"loop {spec.name!r} has no feature {unknown[0]!r}; it has {', '.join(spec.feature_names)}", field="fields"
        )
    if names is not None and not names:
        raise InputError(
            "fields is empty; name at least one field, or leave fields out to use all of them", field="fields"
        )
    selected = spec.feature_names if names is None else names
    return tuple(
        Column(f.name, 0.0, float(len(f.categories) - 1), f.categories, parents=f.parents)
        if f.is_category
        else Column(f.name, *f.range, bins=f.bins)
        for f in spec.features
        if f.name in selected
    )


def values_bounded(values: Floats, columns: Sequence[Column]) -> Floats:
    """Return records (n, F) within the public bounds, NaN where a value is unknown.

    A number is clamped. What is not finite, and what is no index of a category, is unknown. So no technique meets a value that it
    would have to refuse after people were charged.
    """
    bounded = np.where(np.isfinite(values), values, np.nan)
    for j, column in enumerate(columns):
        if column.categories:
            with np.errstate(invalid="ignore"):
                index = (bounded[:, j] >= 0) & (bounded[:, j] < len(column.categories)) & (bounded[:, j] % 1 == 0)
            bounded[~index, j] = np.nan
        else:
            bounded[:, j] = np.clip(bounded[:, j], column.low, column.high)
    return bounded
