"""The [import.csv] section of a loop file: how a file of logged decisions maps onto the loop."""

from __future__ import annotations

from typing import Any

from loops.engine.reward import COMPONENTS, INPUTS
from loops.engine.spec import Feature, Head, ImportHead, ImportMap
from loops.engine.toml_reader import Table, is_number
from loops.engine.transforms import EXPECTED, parse_transform

NEXT_STATES = ("next_row", "next_row_same_day", "next_available", "next_available_same_day")


def parse_imports(table: Table, features: tuple[Feature, ...], heads: tuple[Head, ...]) -> ImportMap:
    """The import map; what is left out carries its own name."""
    csv = table.table("csv")
    user, time = csv.text("user", "a column", "user_id"), csv.text("time", "a column", "decided_at")
    columns = _named(csv, "features", {f.name for f in features}, {f.name: f.name for f in features})
    reward = _reward(csv)
    imports = ImportMap(
        user=user,
        key=csv.texts("key", "a list of columns", (user, time)) or (user, time),
        time=time,
        features=columns,
        heads=_heads(csv.table("heads"), heads),
        reward=reward,
        missing=_missing(csv, features),
        next_state=csv.one_of("next_state", NEXT_STATES, "next_row_same_day"),
        available=csv.text("available", "a column", None),
        explored=csv.text("explored", "a column", None),
        label=csv.text("label", "a column", None),
        left=csv.text("left", "a column", None),
        transforms=_transforms(csv, columns, reward),
        actions=_actions(csv.table("actions"), heads),
        categories=_categories(csv.table("categories"), features),
    )
    csv.close()
    table.close()
    return imports


def _named(csv: Table, name: str, known: set[str], base: dict[str, str]) -> dict[str, str]:
    found = csv.text_map(name)
    for key, column in found.items():
        if key not in known:
            csv.problems.add(f"{csv.key(name)}.{key}", column, "on the left one of " + ", ".join(sorted(known)))
    return base | found


def _heads(table: Table, heads: tuple[Head, ...]) -> dict[str, ImportHead]:
    known = {h.name for h in heads}
    out = {}
    for name in table.data:
        inner = table.table(name)
        if name not in known:
            table.problems.add(inner.name, inner.data, "a head of this loop: " + ", ".join(sorted(known)))
        action = inner.text("action", "a column", "action")
        out[name] = ImportHead(action=action, propensity=inner.text("propensity", "a column", None))
        inner.close()
    if "policy" in known and "policy" not in out:
        out["policy"] = ImportHead(action="action")
    return out


def _reward(csv: Table) -> dict[str, str]:
    found = _named(csv, "reward", {"total", *COMPONENTS, *INPUTS}, {})
    return found or {"total": "reward"}


def _missing(csv: Table, features: tuple[Feature, ...]) -> Any:
    """ "drop", or a value by feature."""
    value = csv.data.get("missing", "drop") if csv.has("missing") else "drop"
    if value == "drop":
        return "drop"
    if not isinstance(value, dict):
        csv.problems.add(csv.key("missing"), value, '"drop", or a table of feature = value')
        return "drop"
    by_name = {f.name: f for f in features}
    for name, filled in value.items():
        feature = by_name.get(name)
        key = f"{csv.key('missing')}.{name}"
        if feature is None:
            csv.problems.add(key, filled, "a feature of this loop on the left")
        elif feature.is_category and filled not in feature.categories:
            csv.problems.add(key, filled, "one of " + ", ".join(feature.categories))
        elif not feature.is_category and not is_number(filled):
            csv.problems.add(key, filled, "a finite number")
    return dict(value)


def _transforms(csv: Table, columns: dict[str, str], reward: dict[str, str]) -> dict[str, str]:
    """A function by feature (or ``reward``); the file may name the column instead, and columns that the loop does not read."""
    found = csv.text_map("transforms")
    for name, text in found.items():
        try:
            parse_transform(text)
        except ValueError:
            csv.problems.add(f"{csv.key('transforms')}.{name}", text, EXPECTED)
    by_column = {column: feature for feature, column in columns.items()} | {reward.get("total", "reward"): "reward"}
    return {name if name in columns else by_column.get(name, name): text for name, text in found.items()}


def _actions(table: Table, heads: tuple[Head, ...]) -> dict[str, dict[str, str]]:
    known = {h.name: h.actions for h in heads}
    return _value_maps(table, known, "a head of this loop")


def _categories(table: Table, features: tuple[Feature, ...]) -> dict[str, dict[str, str]]:
    known = {f.name: f.categories for f in features if f.is_category}
    return _value_maps(table, known, "a category feature of this loop")


def _value_maps(table: Table, known: dict[str, tuple[str, ...]], what: str) -> dict[str, dict[str, str]]:
    """name -> {value of the file -> allowed value}."""
    out = {}
    for name in table.data:
        inner = table.text_map(name)
        if name not in known:
            table.problems.add(table.key(name), inner, what + ": " + ", ".join(sorted(known)))
            continue
        for value, target in inner.items():
            if target not in known[name]:
                table.problems.add(f"{table.key(name)}.{value}", target, "one of " + ", ".join(known[name]))
        out[name] = inner
    return out
