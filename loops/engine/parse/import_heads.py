"""Parse [import.csv.heads]: the columns of each head's action and propensities, and what a propensity column holds."""

from __future__ import annotations

from collections.abc import Mapping

from loops.engine.heads import MAIN_HEAD
from loops.engine.parse.strict_toml import TomlTable, meant
from loops.engine.spec import Head, ImportHead

TAKEN = "taken"  # the value of propensity_of for a column that holds the probability of the action taken
_TWO = 2


def parse_import_heads(
    table: TomlTable, heads: tuple[Head, ...], transforms: Mapping[str, str], features: Mapping[str, str]
) -> dict[str, ImportHead]:
    """Parse the columns of each head. The main head's action column defaults to ``action``. A sub-head must name its own.

    Args:
        transforms: the declared transforms, by feature or column. Those of propensity columns belong to their heads.
        features: the column of each feature.
    """
    known = {h.name: h for h in heads}
    out = {}
    for name in table.data:
        inner = table.table(name)
        if name not in known:
            table.problems.add(inner.name, inner.data, f"a head of this loop: {', '.join(known)}{meant(name, known)}")
        out[name] = _head(inner, known.get(name), transforms)
        _check_unambiguous(inner, out[name], features)
        inner.close()
    if MAIN_HEAD in known and MAIN_HEAD not in out:
        out[MAIN_HEAD] = ImportHead(action="action")
    return out


def _head(table: TomlTable, head: Head | None, transforms: Mapping[str, str]) -> ImportHead:
    main = head is not None and head.name == MAIN_HEAD
    action = table.text("action", "a column", "action") if main else table.text("action", "a column")
    read = ImportHead(
        action=action,
        propensity=table.text("propensity", "a column", None),
        propensity_of=_propensity_of(table, head),
        propensities=_propensities(table, head),
    )
    own = {column: transforms[column] for column in read.propensity_columns if column in transforms}
    return ImportHead(read.action, read.propensity, read.propensity_of, read.propensities, own)


def _propensity_of(table: TomlTable, head: Head | None) -> str | None:
    """Parse the action whose probability the column holds. None: the action taken."""
    actions = head.actions if head else ()
    value = table.one_of("propensity_of", (TAKEN, *actions), TAKEN)
    if value in (None, TAKEN):
        return None
    key = table.key("propensity_of")
    if not table.has("propensity"):
        table.problems.add(key, value, 'propensity = "column" beside it: it says what that column holds')
    if len(actions) > _TWO:
        columns = ", ".join(f'{action} = "column"' for action in actions)
        expected = f"{TAKEN}, because this head has {len(actions)} actions; give one column an action: "
        table.problems.add(key, value, f"{expected}propensities = {{ {columns} }}")
    return str(value)


def _propensities(table: TomlTable, head: Head | None) -> dict[str, str]:
    """Parse one column an action. Empty where the loop declares none."""
    if not table.has("propensities"):
        return {}
    columns, actions = table.text_map("propensities"), head.actions if head else ()
    key = table.key("propensities")
    if table.has("propensity"):
        table.problems.add(key, columns, "either propensity or propensities, not both")
    if head is not None and set(columns) != set(actions):
        table.problems.add(key, columns, f"one column for each action: {', '.join(actions)}")
    if len(set(columns.values())) != len(columns):
        table.problems.add(key, columns, "a different column for each action")
    return columns


def _check_unambiguous(table: TomlTable, head: ImportHead, features: Mapping[str, str]) -> None:
    """Report a transform whose name is a propensity column and also a feature that is read from another column."""
    for column in head.transforms:
        if features.get(column, column) != column:
            expected = f"a column whose name is not a feature's: transforms.{column} would be read as the feature's"
            table.problems.add(table.name, column, expected)
