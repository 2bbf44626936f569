"""Divide the declared states of a loop into public parts: of each feature its categories, or fine parts of its bounds.

The parts are public, since the loop file declares them. Rows may lie unevenly in the bounds, so neighbours among the fine parts
are joined later into regions of about a tenth of the rows (``RegionAxis.regions``). A missing value that the loop fills is a
part of its own, because what is missing often tells what an app could do. A row that the import would reject lies in none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from core.arrays import Floats, Ints
from loops.engine.rows.cells import RowError
from loops.engine.rows.features import Cells, feature_reader
from loops.engine.rows.outcomes import Note
from loops.engine.rows.transforms import parse_transform
from loops.engine.spec import Feature, LoopSpec

NOWHERE = -1  # the part of a cell that cannot be read
_FINE = 50  # parts of the bounds of a number
_ABOUT = 10  # regions of a number
_REMEMBERED = 1_000  # spellings of categories
Span = tuple[int, int]  # first and last fine part


class RegionAxis:
    """Place the rows of a file along one feature. Args: feature: of the loop ``spec``; column: its column in the file."""

    def __init__(self, spec: LoopSpec, feature: Feature, column: str) -> None:
        self._feature, self._column = feature, column
        self._read = feature_reader(spec, feature, column)
        transform = spec.imports.transforms.get(feature.name)
        self._convert = parse_transform(transform) if transform else np.asarray
        self._fine = len(feature.categories) or _FINE
        self._has_points = spec.imports.decimal == "."
        self._known: dict[str, int] = {}
        self.parts = self._fine + 1  # the last one holds missing values that the loop fills

    def places(self, rows: Sequence[Cells]) -> Ints:
        """Return the part of each row (n,), NOWHERE where its cell cannot be read."""
        cells = [row.get(self._column, "") for row in rows]
        if self._feature.is_category:
            return np.array([self._category(cell) for cell in cells], dtype=np.int64)
        return self._numbers(cells)

    def regions(self, rows: Ints) -> list[Span]:
        """Return the regions in the order of the feature. Args: rows (parts,): the rows in each part."""
        if self._feature.is_category:
            return [(i, i) for i in range(self.parts) if rows[i]]
        spans = _joined(rows[: self._fine])
        return [*spans, (self._fine, self._fine)] if rows[self._fine] else spans

    def words(self, span: Span) -> str:
        """Return a region in words, such as "need is 0.9 to 1" or "place is work"."""
        name, (first, last) = self._feature.name, span
        if first == self._fine:
            return f"{name} is missing"
        if self._feature.is_category:
            return f"{name} is {self._feature.categories[first]}"
        low, high = self._feature.range
        ends = (low + (high - low) * i / self._fine for i in (first, last + 1))
        return f"{name} is {' to '.join(f'{x:.4g}' for x in ends)}"

    def _numbers(self, cells: Sequence[str]) -> Ints:
        """Place numbers at once. A cell that is not simply a finite number takes the way of the import."""
        if not self._has_points:
            return self._each(cells)
        try:
            values: Floats = np.array([float(cell) if cell else math.nan for cell in cells])
        except ValueError:
            return self._each(cells)
        values = self._convert(values)
        is_plain = np.isfinite(values)
        places = self._fine_part(np.where(is_plain, values, 0.0))
        for i in np.flatnonzero(~is_plain).tolist():
            places[i] = self._slow(cells[i])
        return places

    def _each(self, cells: Sequence[str]) -> Ints:
        return np.array([self._slow(cell) for cell in cells], dtype=np.int64)

    def _category(self, cell: str) -> int:
        place = self._known.get(cell)
        if place is None:
            place = self._slow(cell)
            if len(self._known) < _REMEMBERED:
                self._known[cell] = place
        return place

    def _slow(self, cell: str) -> int:
        notes: list[Note] = []
        try:
            value = self._read({self._column: cell}, notes)
        except RowError:
            return NOWHERE
        if ("filled", self._column) in notes:
            return self._fine
        return int(value) if self._feature.is_category else int(self._fine_part(np.array([value]))[0])

    def _fine_part(self, values: Floats) -> Ints:
        low, high = self._feature.range
        share = np.clip((values - low) / (high - low), 0.0, 1.0)
        return np.minimum(np.floor(share * self._fine + 1e-9), self._fine - 1).astype(np.int64)


def region_axes(spec: LoopSpec, column: Callable[[Feature], str], absent: Sequence[int]) -> list[RegionAxis]:
    """Return the axes of the features that a file holds. Args: absent: indices of those that it lacks."""
    return [RegionAxis(spec, f, column(f)) for i, f in enumerate(spec.features) if i not in absent]


def _joined(rows: Ints) -> list[Span]:
    """Join neighbouring parts to regions of about a tenth of the rows each, by the middle row of each part.

    Parts without rows beyond the last row of a tenth belong to the next one. A region without rows is left out.
    """
    if not rows.any():
        return []
    middle = (np.cumsum(rows) - rows / 2) / rows.sum()
    tenth = np.minimum(np.floor(_ABOUT * middle + 1e-9), _ABOUT - 1)
    last = [*(int(i) for i in np.flatnonzero(np.diff(tenth))), len(rows) - 1]
    spans = zip([0, *(i + 1 for i in last[:-1])], last, strict=True)
    return [(first, end) for first, end in spans if rows[first : end + 1].any()]
