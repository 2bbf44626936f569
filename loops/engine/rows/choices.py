"""Read each head's choice in a row: action, propensities, exploration."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.neutral_text import with_neutral_spellings
from loops.engine.rows.cells import RowError, is_missing, quoted_list, without_zero_decimals
from loops.engine.rows.features import Cells
from loops.engine.rows.propensities import LoggedPropensity, PropensityReader
from loops.engine.spec import Head, LoopSpec

_SHOWN = 30


@dataclass(frozen=True, slots=True)
class LoggedChoice:
    """Hold one head's choice: action index, conditional and marginal propensity, and whether it was an exploration draw.

    ``probabilities`` are the marginal ones of every action, NaN where the file does not give them.
    """

    action: int
    propensity: float
    marginal: float
    explored: bool
    probabilities: tuple[float, ...] = field(default=(), compare=False)


class ActionReader:
    """Read one head's action and propensity from rows."""

    def __init__(self, spec: LoopSpec, head: Head) -> None:
        columns = spec.imports.heads[head.name]
        self.column, self.propensity = columns.action, PropensityReader(head, columns, spec.imports.decimal)
        self._head, self._flagged = head, spec.imports.explored is not None
        own = {a: i for i, a in enumerate(head.actions)}
        mapped = {v: own[a] for v, a in spec.imports.actions.get(head.name, {}).items()}
        self._index = own | mapped
        spellings = with_neutral_spellings(self._index)
        self._folded = {k.lower(): i for k, i in spellings.items()}

    def unmapped(self, row: Cells) -> str | None:
        """Return the text of the action's cell if it is no action of the head and not empty, or else None."""
        cell = row.get(self.column, "")
        return None if is_missing(cell) or self._find(cell) is not None else cell.strip()

    def intervenes(self, row: Cells) -> bool:
        """Return whether the cell names an action other than the reference."""
        return self._find(row.get(self.column, "")) not in (None, self._head.reference_index)

    def choice(self, row: Cells, explored: bool, with_propensity: bool) -> LoggedChoice:
        """Read the choice of this head from a row.

        Args: explored: whether the row is marked as an exploration draw. with_propensity: whether to read the propensity
        column; otherwise the logging distribution applies.
        Raises: RowError for a missing or unknown action, or an unusable propensity.
        """
        action = self._action(row)
        constant = self._head.logging[action]
        logged = LoggedPropensity(constant, self._head.logging)
        if with_propensity and self.propensity.declared:
            logged = self.propensity.read(row, action)
        if logged.taken <= 0:
            raise RowError("zero_propensity", f"head {self._head.name!r} never takes this action when it explores")
        # A file has only the marginal propensity. Conditional on exploration, the logging distribution applies.
        conditional = constant if explored and self._flagged and constant > 0 else logged.taken
        return LoggedChoice(action, conditional, logged.taken, explored, logged.actions)

    def number(self, row: Cells) -> tuple[int, float]:
        """Return the action index and the number in the propensity column, before any transform.

        Raises: RowError where either cannot be read.
        """
        return self._action(row), self.propensity.number(row)

    def _action(self, row: Cells) -> int:
        cell = row.get(self.column, "")
        action = self._find(cell)
        if action is not None:
            return action
        if is_missing(cell):
            raise RowError("missing_action", f"column {self.column!r} is empty")
        known = quoted_list(list(self._index)[:_SHOWN])
        raise RowError(
            "unknown_action", f"column {self.column!r} is not an action of head {self._head.name!r} ({known})"
        )

    def _find(self, cell: str) -> int | None:
        """Find the action index, first exactly, then ignoring case and a trailing .0 (from integer columns with gaps)."""
        action = self._index.get(cell)
        if action is None:
            word = cell.strip().lower()
            action = self._folded.get(word)
            if action is None:
                action = self._folded.get(without_zero_decimals(word))
        return action
