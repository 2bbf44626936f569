"""Read each head's choice in a row: action, propensities, exploration."""

from __future__ import annotations

import math
from dataclasses import dataclass

from loops.engine.rows.cells import RowError, is_missing, parse_number, quoted_list
from loops.engine.rows.features import Cells
from loops.engine.spec import Head, LoopSpec

_SHOWN = 30
_ROUNDING = 1e-9  # a probability of 1 may be written as 1.0000000001


@dataclass(frozen=True, slots=True)
class LoggedChoice:
    """Hold one head's choice: action index, conditional and marginal propensity, and whether it was an exploration draw."""

    action: int
    propensity: float
    marginal: float
    explored: bool


class ActionReader:
    """Read one head's action and propensity from rows."""

    def __init__(self, spec: LoopSpec, head: Head) -> None:
        columns = spec.imports.heads[head.name]
        self.column, self._propensity = columns.action, columns.propensity
        self._head, self._flagged = head, spec.imports.explored is not None
        own = {a: i for i, a in enumerate(head.actions)}
        mapped = {v: own[a] for v, a in spec.imports.actions.get(head.name, {}).items()}
        self._index = own | mapped
        self._folded = {k.lower(): i for k, i in self._index.items()}

    def intervenes(self, row: Cells) -> bool:
        """Return whether the cell names an action other than the reference."""
        return self._find(row.get(self.column, "")) not in (None, self._head.reference_index)

    def choice(self, row: Cells, explored: bool, with_propensity: bool) -> LoggedChoice:
        """Read the choice of this head from a row.

        Args: explored: whether the row is marked as an exploration draw. with_propensity: whether to read the propensity
        column; otherwise the logging distribution applies.
        Raises: RowError for a missing or unknown action, or an unusable propensity.
        """
        cell = row.get(self.column, "")
        action = self._find(cell)
        if action is None:
            if is_missing(cell):
                raise RowError("missing_action", f"column {self.column!r} is empty")
            known = quoted_list(list(self._index)[:_SHOWN])
            raise RowError(
                "unknown_action", f"column {self.column!r} is not an action of head {self._head.name!r} ({known})"
            )
        constant = self._head.logging[action]
        marginal = self._logged(row) if with_propensity and self._propensity else constant
        if marginal <= 0:
            raise RowError("zero_propensity", f"head {self._head.name!r} never takes this action when it explores")
        # A file has only the marginal propensity. Conditional on exploration, the logging distribution applies.
        conditional = constant if explored and self._flagged and constant > 0 else marginal
        return LoggedChoice(action, conditional, marginal, explored)

    def _logged(self, row: Cells) -> float:
        column = self._propensity or ""
        value = parse_number(row.get(column, ""), column)
        if math.isnan(value):
            raise RowError("missing_propensity", f"column {column!r} is empty")
        if value == 0:
            raise RowError("zero_propensity", f"column {column!r} is 0 for the action that was taken")
        if not 0 < value <= 1 + _ROUNDING:
            raise RowError("bad_propensity", f"column {column!r} is not a probability above 0 and up to 1")
        return min(value, 1.0)

    def _find(self, cell: str) -> int | None:
        """Find the action index, first exactly, then ignoring case and a trailing .0 (from integer columns with gaps)."""
        action = self._index.get(cell)
        if action is None:
            word = cell.strip().lower()
            action = self._folded.get(word)
            if action is None and word.endswith(".0"):
                action = self._folded.get(word[:-2])
        return action
