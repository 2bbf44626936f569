"""Read the probabilities with which a head's action was drawn, as a loop file says that its columns hold them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from loops.engine.rows.cells import RowError, parse_number, quoted_list
from loops.engine.rows.features import Cells
from loops.engine.rows.transforms import parse_transform
from loops.engine.spec import DecimalMark, Head, ImportHead

LEAST_PROPENSITY = 1e-6  # of the action taken: a row with a smaller one outweighs a million others
ROUNDING = 1e-9  # a probability of 1 may be written as 1.0000000001
_ROUNDED_EACH = 0.005  # probabilities written with two decimals
UNUSABLE = frozenset(
    {"bad_propensity", "zero_propensity", "small_propensity", "propensity_sum"}
)  # reasons of rows whose number is no probability


@dataclass(frozen=True, slots=True)
class LoggedPropensity:
    """Hold the probability of the action taken, and that of every action (NaN where the file does not give it)."""

    taken: float
    actions: tuple[float, ...]


class PropensityReader:
    """Read one head's propensities from the columns that the loop names.

    Args: head; columns: its import section; decimal: what the file writes before the decimals of a number.
    """

    def __init__(self, head: Head, columns: ImportHead, decimal: DecimalMark = ".") -> None:
        self._head, self._column, self._decimal = head, columns.propensity, decimal
        self._of = None if columns.propensity_of is None else head.actions.index(columns.propensity_of)
        self._convert = {c: _transform(columns.transforms.get(c)) for c in columns.propensity_columns}
        self._columns = [columns.propensities[a] for a in head.actions] if columns.propensities else []
        self.declared = bool(columns.propensity_columns)

    def read(self, row: Cells, action: int) -> LoggedPropensity:
        """Read the probabilities of a row in which ``action`` was taken.

        Raises: RowError for a missing number, one that is no probability, and probabilities that do not sum to 1.
        """
        if self._columns:
            return self._one_a_column(row, action)
        column = self._column or ""
        value = self._number(row, column)
        if self._of is not None:
            value = _share(value, column)
            value = value if action == self._of else _rest(value)
        if not 0 <= value <= 1 + ROUNDING:
            raise RowError("bad_propensity", f"column {column!r} is not a probability above 0 and up to 1")
        _check_taken(value, column)
        return LoggedPropensity(min(value, 1.0), _spread(min(value, 1.0), action, len(self._head.actions)))

    def number(self, row: Cells) -> float:
        """Return the number in the head's propensity column, before any transform.

        Raises: RowError for a cell that is empty or no number.
        """
        return self._present(row, self._column or "")

    def wrong_sum(self, row: Cells) -> float | None:
        """Return the sum of the columns of every action, or None where it is 1 up to rounding.

        Raises: RowError for a cell that is empty or no number.
        """
        total = math.fsum(self._number(row, column) for column in self._columns)
        return total if self._is_wrong(total) else None

    def _is_wrong(self, total: float) -> bool:
        return abs(total - 1) > _ROUNDED_EACH * len(self._columns)

    def _number(self, row: Cells, column: str) -> float:
        return self._present(row, column, self._convert[column])

    def _present(self, row: Cells, column: str, convert: Callable[[float], float] | None = None) -> float:
        value = parse_number(row.get(column, ""), column, self._decimal)
        value = convert(value) if convert else value
        if math.isnan(value):
            raise RowError("missing_propensity", f"column {column!r} is empty")
        return value

    def _one_a_column(self, row: Cells, action: int) -> LoggedPropensity:
        values = tuple(_share(self._number(row, column), column) for column in self._columns)
        if self._is_wrong(math.fsum(values)):
            raise RowError("propensity_sum", f"columns {quoted_list(self._columns)} do not sum to 1")
        _check_taken(values[action], self._columns[action])
        return LoggedPropensity(values[action], values)


def _check_taken(p: float, column: str) -> None:
    """Check the probability of the action taken. Raises: RowError for 0, and for one that is too small to learn from."""
    if p == 0:
        raise RowError("zero_propensity", f"column {column!r} gives 0 for the action that was taken")
    if p < LEAST_PROPENSITY:
        raise RowError(
            "small_propensity",
            f"column {column!r} gives less than one in a million for the action that was taken; check the column and its "
            "transform, and mark the row as unavailable if nothing was drawn",
        )


def _rest(p: float) -> float:
    """Return 1 - p without the rounding error of the subtraction: .2 for .8."""
    return round(1 - p, 15)


def _spread(taken: float, action: int, count: int) -> tuple[float, ...]:
    """Return the probability of every action, given that of one: known for two actions, else NaN for the others."""
    if count == 2:
        return (_rest(taken), taken) if action else (taken, _rest(taken))
    return tuple(taken if a == action else math.nan for a in range(count))


def _share(value: float, column: str) -> float:
    if not 0 <= value <= 1 + ROUNDING:
        raise RowError("bad_propensity", f"column {column!r} is not a probability from 0 to 1")
    return min(value, 1.0)


def _transform(text: str | None) -> Callable[[float], float] | None:
    return parse_transform(text) if text else None
