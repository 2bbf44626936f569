"""What followed a decision, read from a row: the reward's total and components, and the label's meaning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from loops.engine.cells import RowError, is_missing, number_of
from loops.engine.spec import LoopSpec

Floats = npt.NDArray[np.float64]
COMPONENTS = ("sentiment", "engagement", "compliance", "empathy", "timing", "uptake")
NO_REWARD = np.full(1 + len(COMPONENTS), np.nan)
NO_REWARD.flags.writeable = False


class OutcomeReader:
    """Reads reward and label of one row; float64[7] is the total, then the six components, NaN where not observed."""

    def __init__(self, spec: LoopSpec) -> None:
        self._spec = spec
        mapped = dict(spec.imports.reward)
        self._total = mapped.pop("total", None)
        self._parts = mapped
        self._convert = transformed(spec.imports.transforms.get("reward"), self._total or "")
        self._label = spec.imports.label
        self._harmful = frozenset(word.strip().lower() for word in spec.reward.harmful_labels)

    def reward(self, row: Mapping[str, str], state: Floats, actions: Mapping[str, int]) -> Floats:
        """The reward of a row. Raises RowError for what is neither a number nor empty."""
        reward = NO_REWARD.copy()
        observed = {name: self._number(row, column) for name, column in self._parts.items()}
        for i, name in enumerate(COMPONENTS, start=1):
            reward[i] = observed.get(name, math.nan)
        if self._total is not None:
            value = self._number(row, self._total)
            reward[0] = value if math.isnan(value) else self._convert(value)
        return reward

    def harmful(self, row: Mapping[str, str]) -> bool | None:
        """Whether the logged label makes an intervention a false one; None without a label."""
        cell = row.get(self._label, "") if self._label else ""
        return None if is_missing(cell) else cell.strip().lower() in self._harmful

    @staticmethod
    def _number(row: Mapping[str, str], column: str) -> float:
        cell = row.get(column, "")
        return math.nan if is_missing(cell) else number_of(cell, column)


def transformed(function: str | None, column: str) -> Callable[[float], float]:
    """The declared transform of a column's numbers; raises RowError where it has no finite value."""
    if function is None:
        return float
    from loops.engine.transforms import parse_transform

    apply = parse_transform(function)

    def convert(value: float) -> float:
        with np.errstate(all="ignore"):
            try:
                result = float(apply(value))
            except (ValueError, ArithmeticError):
                result = math.nan
        if not math.isfinite(result):
            raise RowError("not_finite", f"column {column!r} has no finite {function}")
        return result

    return convert
