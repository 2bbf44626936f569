"""From the text of a loop file to a validated LoopSpec, or one error that lists every problem of the file."""

from __future__ import annotations

import tomllib
from typing import Any

from loops.engine.parse_import import parse_imports
from loops.engine.parse_reward import parse_reward
from loops.engine.spec import Availability, Feature, Head, LoopSpec, MomentsOptions
from loops.engine.toml_reader import Problems, Table, is_number
from r3al_project.common.errors import InputError

DYNAMICS = ("learned", "drift", "since_intervention", "recent_load", "clock", "constant")
CLIP_NAMES = ("counts", "gram", "targets", "effects", "variances")
_DEFAULT_SCALE = 0.1  # of the range, where a moving number declares no scale
_DEFAULT_STEPS = 12  # decision points after which since_intervention reaches its end
_DEFAULT_DECAY = 0.8
_NAME = r"letters, digits, _ and -, at most 60"


def parse_loop(text: str, *, source: str) -> LoopSpec:
    """The validated record. Raises InputError with one line a problem: key, value, what was expected."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not valid TOML: {error}; mend the file and add it again") from None
    problems = Problems()
    spec = _loop(Table(data, "", problems), problems)
    if problems.found or spec is None:
        lines = "\n  ".join(problems.found)
        raise InputError(f"{source} is not a usable loop file; nothing was written. Mend these:\n  {lines}")
    return spec


def _loop(top: Table, problems: Problems) -> LoopSpec | None:
    name = top.value("name", _is_name, f"a name ({_NAME})")
    per_day = top.integer("decisions_per_day", "an integer of at least 1")
    features = _features(top.table("features"))
    heads = _heads(top.table("heads"))
    reward = parse_reward(top.table("reward"), features, heads)
    values: dict[str, Any] = {
        "version": top.integer("version", "an integer of at least 1", 1),
        "title": top.text("title", default=name),
        "population": top.value("population", _is_name, f"a name ({_NAME})", name),
        "moments": _moments(top.table("release")),
        "availability": _availability(top.table("availability")),
        "imports": parse_imports(top.table("import"), features, heads),
        "evaluation_share": top.number("evaluation_share", "a number from .05 to .95", 0.3, low=0.05, high=0.95),
        "minimum_effect": top.number("minimum_effect", "a number above 0 (reward units)", None, above=0.0),
        "exploration": top.number("exploration", "a number from 0 to 1", 0.1, low=0.0, high=1.0),
    }
    top.close()
    if problems.found or reward is None:
        return None
    return LoopSpec(name=name, decisions_per_day=per_day, features=features, heads=heads, reward=reward, **values)


def _is_name(value: Any) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= 60
        and value.replace("_", "").replace("-", "").isalnum()
        and value.isascii()
    )


def _features(table: Table) -> tuple[Feature, ...]:
    if not table.data:
        table.problems.missing("features", "at least one table like [features.mood]")
    return tuple(_feature(name, table.table(name)) for name in table.data)


def _feature(name: str, table: Table) -> Feature:
    dynamics = table.one_of("dynamics", DYNAMICS)
    categories = table.texts("categories", "a list of at least two different texts", ())
    bounds = table.value("bounds", _is_bounds, "two finite numbers [low, high] with low < high", None)
    if categories and len(categories) < 2:
        table.problems.add(table.key("categories"), list(categories), "at least two categories")
    if bool(categories) == (bounds is not None):
        table.problems.missing(table.key("bounds"), "either bounds = [low, high] or categories = [...], and not both")
    if categories and dynamics in ("learned", "since_intervention", "recent_load"):
        table.problems.add(table.key("dynamics"), dynamics, "drift, clock or constant for a category")
    width = bounds[1] - bounds[0] if bounds else 1.0
    moves = dynamics in ("learned", "drift") and not categories
    feature = Feature(
        name=name,
        dynamics=dynamics or "constant",
        bounds=(float(bounds[0]), float(bounds[1])) if bounds else None,
        categories=categories or (),
        scale=table.number("scale", "a number above 0", _DEFAULT_SCALE * width if moves else None, above=0.0),
        step=table.number(
            "step", "a number above 0", width / _DEFAULT_STEPS if dynamics == "since_intervention" else None, above=0.0
        ),
        decay=table.number(
            "decay", "a number from 0 to 1", _DEFAULT_DECAY if dynamics == "recent_load" else None, low=0.0, high=0.9999
        ),
    )
    table.close()
    return feature


def _is_bounds(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]


def _heads(table: Table) -> tuple[Head, ...]:
    if "policy" not in table.data:
        table.problems.missing("heads.policy", "a table with actions, reference and logging")
    return tuple(_head(name, table.table(name)) for name in table.data)


def _head(name: str, table: Table) -> Head:
    actions = table.texts("actions", "a list of different action names") or ("",)
    if len(actions) < 2:
        table.problems.add(table.key("actions"), list(actions), "at least two actions")
    reference = table.one_of("reference", actions)
    logging = table.value(
        "logging",
        lambda v: _is_distribution(v, len(actions)),
        f"{len(actions)} probabilities above 0 that sum to 1, in the order of the actions",
    )
    head = Head(
        name=name,
        actions=actions,
        reference=reference or actions[0],
        logging=tuple(float(p) for p in logging or ()),
        when=table.one_of("when", ("always", "intervening"), "always"),
    )
    if name == "policy" and head.when != "always":
        table.problems.add(table.key("when"), head.when, "always: policy is the head that decides whether to intervene")
    table.close()
    return head


def _is_distribution(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(is_number(p) and p > 0 for p in value)
        and abs(sum(value) - 1) <= 1e-6
    )


def _moments(release: Table) -> MomentsOptions:
    table = release.table("moments")
    clips = table.table("clips")
    values = {n: c for n in CLIP_NAMES if (c := clips.number(n, "a number above 0", None, above=0.0)) is not None}
    clips.close()
    options = MomentsOptions(
        nominal_users=table.integer("nominal_users", "an integer of at least 1", None),
        nominal_decisions=table.integer("nominal_decisions", "an integer of at least 1", None),
        clips=values,
        features=table.one_of("features", ("linear", "hinges"), None),
    )
    table.close()
    release.close()
    return options


def _availability(table: Table) -> Availability:
    quiet = table.value(
        "quiet_hours", lambda v: isinstance(v, list) and len(v) == 2 and all(map(_is_clock, v)),
        'two times like ["22:30", "07:00"]', None,
    )  # fmt: skip
    options = Availability(
        daily_cap=table.integer("daily_cap", "an integer of at least 0", None, low=0),
        cooldown_seconds=table.seconds("cooldown", 0),
        quiet_hours=(quiet[0], quiet[1]) if quiet else None,
    )
    table.close()
    return options


def _is_clock(value: Any) -> bool:
    if not isinstance(value, str) or len(value) != 5 or value[2] != ":" or not (value[:2] + value[3:]).isdigit():
        return False
    return int(value[:2]) < 24 and int(value[3:]) < 60
