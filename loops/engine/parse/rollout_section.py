"""Parse the section [rollout] of a loop file: how versions of the loop are rolled out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from loops.engine.parse.strict_toml import TomlTable, is_number
from loops.engine.spec import ROLLOUT_NAMES, WHEN_INSUFFICIENT, DeclaredRollout

_MOST_WEEKS, _MOST_STAGES, _MOST_EXTENSIONS = 12, 8, 12


def parse_rollout(table: TomlTable) -> DeclaredRollout:
    """Parse the declared rollout. Undeclared keys keep their defaults."""
    default = DeclaredRollout()
    strategy = table.one_of("strategy", ROLLOUT_NAMES, default.strategy)
    declared = DeclaredRollout(
        strategy=strategy,
        stages=tuple(
            table.value(
                "stages",
                _are_stages,
                f"at most {_MOST_STAGES} growing shares above 0 and below 1, like [.1, .5]",
                default.stages,
            )
        ),
        dwell_weeks=table.integer("dwell_weeks", default.dwell_weeks, high=_MOST_WEEKS),
        extensions=table.integer("extensions", default.extensions, low=0, high=_MOST_EXTENSIONS),
        when_insufficient=table.one_of("when_insufficient", WHEN_INSUFFICIENT, default.when_insufficient),
        by_hand=table.value("by_hand", lambda v: isinstance(v, bool), "true or false", default.by_hand),
        split=table.number("split", "a number from .05 to .95", default.split, low=0.05, high=0.95),
        weeks=table.integer("weeks", 1 if strategy == "shadow_test" else default.weeks, high=_MOST_WEEKS),
    )
    table.close()
    return declared


def _are_stages(value: Any) -> bool:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_STAGES or not all(map(is_number, value)):
        return False
    return all(0 < share < 1 for share in value) and all(a < b for a, b in pairwise(value))
