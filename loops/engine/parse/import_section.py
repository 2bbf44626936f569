"""Parse the [import.csv] section of a loop file, which maps a file of logged decisions onto the loop."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from loops.engine.parse.import_heads import parse_import_heads
from loops.engine.parse.strict_toml import TomlTable, is_number, meant
from loops.engine.reward import COMPONENTS, INPUTS
from loops.engine.rows.transforms import EXPECTED, parse_transform
from loops.engine.spec import Feature, Head, ImportMap

NEXT_STATES = ("next_row", "next_row_same_day", "next_available", "next_available_same_day")
_PAIRS = (("sentiment_before", "sentiment_after"), ("engagement_before", "engagement_after"), ("consent", "privacy"))
_TYPO_SIMILARITY = 0.85  # difflib ratio from which a name counts as a misspelling of a known one


def parse_imports(table: TomlTable, features: tuple[Feature, ...], heads: tuple[Head, ...]) -> ImportMap:
    """Parse the import map. A feature without an entry is read from the column with its own name."""
    csv = table.table("csv")
    user, time = csv.text("user", "a column", "user_id"), csv.text("time", "a column", "decided_at")
    columns = _named(csv, "features", [f.name for f in features], {f.name: f.name for f in features})
    reward, transforms = _reward(csv), csv.text_map("transforms")
    read = parse_import_heads(csv.table("heads"), heads, transforms, columns)
    time_zone, utc_offset = _zone(csv)
    zone = [c for c in (time_zone, utc_offset) if c is not None]
    own = {column: column for head in read.values() for column in head.propensity_columns} | {c: c for c in zone}
    imports = ImportMap(
        user=user,
        key=csv.texts("key", "a list of different columns", (user, time, *zone)),
        time=time,
        features=columns,
        heads=read,
        reward=reward,
        missing=_missing(csv, features),
        next_state=csv.one_of("next_state", NEXT_STATES, "next_row_same_day"),
        available=csv.text("available", "a column", None),
        explored=csv.text("explored", "a column", None),
        label=csv.text("label", "a column", None),
        left=csv.text("left", "a column", None),
        time_zone=time_zone,
        utc_offset=utc_offset,
        decimal=csv.one_of("decimal", (".", ","), "."),
        transforms=_transforms(csv, transforms, features, columns | own, reward),
        actions=_value_maps(csv.table("actions"), {h.name: h.actions for h in heads}, "a head"),
        categories=_value_maps(
            csv.table("categories"), {f.name: f.categories for f in features if f.is_category}, "a category feature"
        ),
    )
    csv.close()
    table.close()
    return imports


def _named(csv: TomlTable, name: str, known: Iterable[str], base: dict[str, str]) -> dict[str, str]:
    columns = csv.text_map(name)
    for key, column in columns.items():
        if key not in known:
            expected = f"on the left one of {', '.join(known)}{meant(key, known)}"
            csv.problems.add(f"{csv.key(name)}.{key}", column, expected)
    return base | columns


def _reward(csv: TomlTable) -> dict[str, str]:
    columns = _named(csv, "reward", ["total", *COMPONENTS, *INPUTS], {})
    for pair in _PAIRS:
        given = [name for name in pair if name in columns]
        if len(given) == 1:
            absent = (set(pair) - set(given)).pop()
            csv.problems.missing(f"{csv.key('reward')}.{absent}", f"a column, because {given[0]} is given")
    return columns or {"total": "reward"}


def _missing(csv: TomlTable, features: tuple[Feature, ...]) -> Any:
    """Parse the treatment of missing values: "drop", or a fill value per feature."""
    value = csv.data["missing"] if csv.has("missing") else "drop"
    if value == "drop":
        return value
    if not isinstance(value, dict):
        csv.problems.add(csv.key("missing"), value, '"drop", or a table like { mood = 0.0 } with a value by feature')
        return "drop"
    by_name = {f.name: f for f in features}
    for name, filled in value.items():
        feature = by_name.get(name)
        key = f"{csv.key('missing')}.{name}"
        if feature is None:
            csv.problems.add(key, filled, f"on the left a feature: {', '.join(by_name)}{meant(name, by_name)}")
        elif feature.is_category and filled not in feature.categories:
            csv.problems.add(key, filled, "one of " + ", ".join(feature.categories), feature.categories)
        elif not feature.is_category and not is_number(filled):
            csv.problems.add(key, filled, "a finite number (in the feature's units, after its transform)")
    return dict(value)


def _zone(csv: TomlTable) -> tuple[str | None, str | None]:
    """Parse the column of the person's time zone, or of their offset from UTC. At most one is given."""
    time_zone, utc_offset = csv.text("time_zone", "a column", None), csv.text("utc_offset", "a column", None)
    if time_zone is not None and utc_offset is not None:
        csv.problems.add(csv.key("utc_offset"), utc_offset, "either time_zone or utc_offset, not both")
    return time_zone, utc_offset


def _transforms(
    csv: TomlTable,
    declared: dict[str, str],
    features: tuple[Feature, ...],
    columns: dict[str, str],
    reward: dict[str, str],
) -> dict[str, str]:
    """Check a transform per feature (or ``reward``). The key may also be the column's name, or a column the loop ignores.

    ``columns`` maps features, and the columns of propensities and of an offset to themselves.
    """
    by_column = {column: feature for feature, column in columns.items()} | {reward.get("total", "reward"): "reward"}
    categories = {f.name for f in features if f.is_category}
    out = {}
    for name, text in declared.items():
        key = f"{csv.key('transforms')}.{name}"
        target = name if name in columns or name == "reward" else by_column.get(name, name)
        near = get_close_matches(name, [*columns, *by_column, "reward"], n=1, cutoff=_TYPO_SIMILARITY)
        if target not in columns and target != "reward" and near:
            csv.problems.add(key, text, f"a feature or reward on the left; did you mean {near[0]!r}?")
        if target in categories:
            csv.problems.add(key, text, "a feature that is a number on the left: categories are mapped by categories")
        try:
            parse_transform(text)
        except ValueError:
            csv.problems.add(key, text, EXPECTED)
        out[target] = text
    return out


def _value_maps(table: TomlTable, known: dict[str, tuple[str, ...]], what: str) -> dict[str, dict[str, str]]:
    """Parse the value mappings: name -> {value in the file -> allowed value}."""
    out = {}
    for name in table.data:
        inner = table.text_map(name)
        if name not in known:
            expected = f"{what} of this loop: {', '.join(known) or 'there is none'}{meant(name, known)}"
            table.problems.add(table.key(name), inner, expected)
            continue
        for value, target in inner.items():
            if known[name] and target not in known[name]:
                expected = "one of " + ", ".join(known[name])
                table.problems.add(f"{table.key(name)}.{value}", target, expected, known[name])
        out[name] = inner
    return out
