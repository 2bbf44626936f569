"""Parse the section [approvals] of a loop file: which acts on the loop need a second operator."""

from __future__ import annotations

from typing import Any

from loops.engine.parse.strict_toml import TomlTable, is_texts
from loops.engine.spec import GUARDED_ACTS, DeclaredApprovals

_MOST_DAYS = 30


def parse_approvals(table: TomlTable) -> DeclaredApprovals:
    """Parse the declared approvals. Undeclared keys keep their defaults, by which one operator may do everything alone."""
    default = DeclaredApprovals()
    given = table.value(
        "second_operator",
        _are_acts,
        f"a list without repetitions of {', '.join(GUARDED_ACTS)}",
        default.second_operator,
    )
    declared = DeclaredApprovals(
        second_operator=tuple(act for act in GUARDED_ACTS if act in given),
        days=table.integer("days", default.days, high=_MOST_DAYS),
    )
    table.close()
    return declared


def _are_acts(value: Any) -> bool:
    return is_texts(value) and set(value) <= set(GUARDED_ACTS)
