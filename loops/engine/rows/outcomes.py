"""Read the outcome of a decision from a row: the reward's total and components, and the harm label."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from core.arrays import Floats
from loops.engine.reward import (
    BOUNDS,
    COMPONENTS,
    INPUTS,
    largest_total,
    reward_components,
    reward_total,
)
from loops.engine.rows.cells import is_missing, parse_number
from loops.engine.rows.transforms import parse_transform
from loops.engine.spec import LoopSpec

Note = tuple[str, str]  # what the reader did (clamped, filled, ignored), and the column
NO_REWARD = np.full(1 + len(COMPONENTS), np.nan)
NO_REWARD.flags.writeable = False


class OutcomeReader:
    """Read reward and label of rows. A reward is float64[7]: the total, then the six components, NaN where not observed."""

    def __init__(self, spec: LoopSpec) -> None:
        self._spec = spec
        columns = spec.imports.reward
        self._total, self._largest = columns.get("total"), largest_total(spec)
        self._convert = transform_function(spec.imports.transforms.get("reward"))
        self._inputs = {name: c for name, c in columns.items() if name in INPUTS}
        self._parts = {COMPONENTS.index(name): c for name, c in columns.items() if name in COMPONENTS}
        self._numbers = [(i, f.name, f.range) for i, f in enumerate(spec.features) if not f.is_category]
        self._label, self._decimal = spec.imports.label, spec.imports.decimal
        self._harmful = frozenset(word.strip().lower() for word in spec.reward.harmful_labels)

    def reward(self, row: Mapping[str, str], state: Floats, actions: Mapping[str, str], notes: list[Note]) -> Floats:
        """Read the reward of a row, float64[7].

        The total comes from the file's total column, within the bounds of a total. Where that cell is empty, or there is no
        such column, it comes from the components and the loop's weights. A decision without any outcome gets the loop's
        default reward, if there is one.
        Args: state: (F,). actions: action names by head, empty where no decision was made. notes: receives the changes.
        Raises: RowError for a cell that is not a number.
        """
        reward = NO_REWARD.copy()
        if self._inputs:
            reward[1:] = self._composed(row, state, actions)
        for i, column in self._parts.items():
            reward[1 + i] = self._part(row, i, column, reward[1 + i], notes)
        reward[0] = self._given_or_composed(row, reward[1:], notes)
        default = self._spec.reward.default
        if actions and default is not None and math.isnan(reward[0]):
            reward[0] = default
            notes.append(("filled", self._total or "reward"))
        return reward

    def _given_or_composed(self, row: Mapping[str, str], components: Floats, notes: list[Note]) -> float:
        composed = float(reward_total(self._spec, components))
        if self._total is None:
            return composed
        given = self._convert(self._number(row, self._total))
        if math.isnan(given):
            if not math.isnan(composed):
                notes.append(("composed", self._total))
            return composed
        return _clamped(given, -self._largest, self._largest, self._total, notes)

    def _number(self, row: Mapping[str, str], column: str) -> float:
        return parse_number(row.get(column, ""), column, self._decimal)

    def _part(self, row: Mapping[str, str], component: int, column: str, composed: float, notes: list[Note]) -> float:
        """Return the file's value of a component, clamped to its bounds, or the composed value where the cell is empty."""
        value = self._number(row, column)
        if math.isnan(value):
            return composed
        return _clamped(value, *BOUNDS[COMPONENTS[component]], column, notes)

    def harmful(self, row: Mapping[str, str]) -> bool | None:
        """Return whether the logged label marks an intervention as false. None without a label."""
        cell = row.get(self._label, "") if self._label else ""
        return None if is_missing(cell) else cell.strip().lower() in self._harmful

    def _composed(self, row: Mapping[str, str], state: Floats, actions: Mapping[str, str]) -> Floats:
        inputs = {name: self._number(row, column) for name, column in self._inputs.items()}
        if all(
            map(math.isnan, inputs.values())
        ):  # no outcome was observed; the appropriateness table alone is not an outcome
            return NO_REWARD[1:]
        affect = {name: (float(state[i]) - low) / (high - low) for i, name, (low, high) in self._numbers}
        main = actions.get(self._spec.main_head.name, "")
        timing = actions.get(self._spec.timing_head.name, main)
        return reward_components(self._spec, inputs, action=main, affect=affect, timing=timing)


def transform_function(function: str | None) -> Callable[[float], float]:
    """Return the transform declared for a column. Its result is NaN (missing) where it has no finite value."""
    return parse_transform(function) if function else float


def _clamped(value: float, low: float, high: float, column: str, notes: list[Note]) -> float:
    """Return the value within its bounds, and note the column where it was outside. NaN stays NaN."""
    if value < low or value > high:
        notes.append(("clamped", column))
        return min(max(value, low), high)
    return value
