"""A column of records as every technique sees it: numbers within public bounds, or an index among public categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import InputError
from loops.engine.spec import LoopSpec


@dataclass(frozen=True)
class Column:
    """``low`` and ``high`` are public constants of the loop, never of the data. A category's value is its index as a float.

    ``bins`` and ``parents`` (one a category) are the loop's hierarchy.
    """

    name: str
    low: float
    high: float
    categories: tuple[str, ...] = ()
    bins: int = 5
    parents: tuple[str, ...] = ()


def columns_of(spec: LoopSpec, names: Sequence[str] | None = None) -> tuple[Column, ...]:
    """The loop's features as columns, all or the named ones in the loop's order. Raises InputError for an unknown name."""
    unknown = sorted(set(names or ()) - set(spec.feature_names))
    if unknown:
        raise InputError(f"{unknown[0]!r} is no feature of loop {spec.name!r}; it has {', '.join(spec.feature_names)}")
    if names is not None and not names:
        raise InputError("no field was named; name some, or leave fields out for all of them")
    wanted = spec.feature_names if names is None else names
    return tuple(
        Column(f.name, 0.0, float(len(f.categories) - 1), f.categories, parents=f.parents)
        if f.is_category
        else Column(f.name, *f.range, bins=f.bins)
        for f in spec.features
        if f.name in wanted
    )
