"""Parse the text of a loop file to a validated LoopSpec. One error lists every problem of the file."""

from __future__ import annotations

import math
import re
import tomllib
from typing import Any

from core.errors import InputError
from loops.engine.heads import MAIN_HEAD
from loops.engine.parse.approvals_section import parse_approvals
from loops.engine.parse.import_section import parse_imports
from loops.engine.parse.reward_section import parse_reward
from loops.engine.parse.rollout_section import parse_rollout
from loops.engine.parse.strict_toml import Problems, TomlTable, is_number
from loops.engine.spec import DEFAULT_POPULATION, DEPLOY_MODES, Availability, Feature, Head, LoopSpec, MomentsOptions
from loops.engine.state.dynamics import DEFAULT_DECAY, DEFAULT_STEPS

DYNAMICS = ("learned", "drift", "since_intervention", "recent_load", "clock", "constant")
MOVES_OF_A_CATEGORY = ("drift", "clock", "constant")
CLIP_NAMES = ("counts", "gram", "targets", "effects", "variances")
RESERVED = ("reward",)  # [import.csv.transforms] holds features and the reward in one table
_DEFAULT_SCALE = 0.1  # share of the range, for a learned or drift number that declares no scale
_MOST_BINS = 100
_MOST_DECISIONS = 1_440  # a day: one a minute
_MOST_NOMINAL = 1_000_000  # decision points of one person
_LONGEST_NAME, _LONGEST_HEAD = 60, 20
LEAST_PROBABILITY = 1e-6  # of each action under logging; nothing can be learned about an action that is never taken
_SUM_ERROR, _EXACT = (
    1.001e-6,
    1e-12,
)  # |sum of logging - 1|: accepted in a file (three times .333333 passes), and stored as is
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_NAME = re.compile(r"[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*")
_NAME_EXPECTED = "a name of letters, digits, _ and -, at most {}"


def parse_loop(text: str, *, source: str) -> LoopSpec:
    """Parse and validate a loop file.

    Args: text: the TOML source. source: the name of the file, for error messages.
    Raises: InputError with one line per problem: key, value, and the expected value.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not valid TOML: {error}; fix the file and add it again") from None
    except RecursionError:
        raise InputError(f"{source} nests lists or tables too deeply for a loop file; flatten them") from None
    problems = Problems()
    spec = _loop(TomlTable(data, "", problems), problems)
    if spec is None:
        lines = "\n  ".join(problems.found)
        raise InputError(f"{source} is not a usable loop file; nothing was written. Fix these problems:\n  {lines}")
    return spec


def _loop(top: TomlTable, problems: Problems) -> LoopSpec | None:
    name = top.value("name", _is_name, _NAME_EXPECTED.format(_LONGEST_NAME))
    features = _features(top.table("features"))
    heads = _heads(top.table("heads"))
    values: dict[str, Any] = {
        "version": top.integer("version", 1),
        "title": top.text("title", default=name),
        "population": top.value("population", _is_name, _NAME_EXPECTED.format(_LONGEST_NAME), DEFAULT_POPULATION),
        "decisions_per_day": top.integer("decisions_per_day", high=_MOST_DECISIONS),
        "reward": parse_reward(top.table("reward"), features, heads),
        "moments": _moments(top.table("release")),
        "availability": _availability(top.table("availability"), features),
        "imports": parse_imports(top.table("import"), features, heads),
        "evaluation_share": top.number(
            "evaluation_share",
            "a number from 0 (everybody judges) to .95",
            LoopSpec.evaluation_share,
            low=0.0,
            high=0.95,
        ),
        "minimum_effect": top.number("minimum_effect", "a number above 0 (reward units)", None, above=0.0),
        "exploration": top.number("exploration", "a number from 0 to 1", LoopSpec.exploration, low=0.0, high=1.0),
        "exploration_before": top.number(
            "exploration_before", "a number from 0 to 1", LoopSpec.exploration_before, low=0.0, high=1.0
        ),
        "trial": top.one_of("trial", ("always", "undecided"), LoopSpec.trial),
        "deploy": top.one_of("deploy", DEPLOY_MODES, LoopSpec.deploy),
        "rollout": parse_rollout(top.table("rollout")),
        "approvals": parse_approvals(top.table("approvals")),
        "logging_rounds": top.integer("logging_rounds", LoopSpec.logging_rounds),
        "retrain_every_seconds": top.seconds("retrain_every", None),
    }
    top.close()
    return None if problems.found else LoopSpec(name=name, features=features, heads=heads, **values)


def _is_name(value: Any, longest: int = _LONGEST_NAME) -> bool:
    return isinstance(value, str) and len(value) <= longest and bool(_NAME.fullmatch(value))


def _features(table: TomlTable) -> tuple[Feature, ...]:
    if not table.data:
        table.problems.missing("features", "at least one table like [features.mood]")
    return tuple(_feature(name, table.table(name)) for name in table.data)


def _feature(name: str, table: TomlTable) -> Feature:
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME or name in RESERVED:
        expected = f"a printable name of at most {_LONGEST_NAME} letters, and not {', '.join(RESERVED)}"
        table.problems.add("the name of a feature", name, expected)
    dynamics = table.one_of("dynamics", DYNAMICS)
    categories = table.texts("categories", "a list of two or more different texts", (), least=2)
    bounds = table.value("bounds", _is_bounds, "two finite numbers [low, high] with low < high", None)
    if table.has("bounds") == table.has("categories"):
        given = "both are given" if table.has("bounds") else "neither is given"
        expected = "either bounds = [low, high] or categories = [...]"
        table.problems.found.append(f"{table.name}: {given}; expected {expected}")
    if table.has("categories") and dynamics is not None and dynamics not in MOVES_OF_A_CATEGORY:
        table.problems.add(table.key("dynamics"), dynamics, ", ".join(MOVES_OF_A_CATEGORY) + " for a category")
    feature = Feature(
        name=name,
        dynamics=dynamics or "constant",
        bounds=(float(bounds[0]), float(bounds[1])) if bounds else None,
        categories=categories,
        bins=table.integer("bins", 5, high=_MOST_BINS) if bounds else 5,
        parents=_parents(table, categories),
        starts=_starts(table, categories, dynamics),
        **_constants(table, dynamics, bounds[1] - bounds[0] if bounds else None),
    )
    table.close()
    return feature


def _parents(table: TomlTable, categories: tuple[str, ...]) -> tuple[str, ...]:
    """Parse the parent of each category, in the order of the categories. Empty where the loop declares none."""
    given = table.value("parents", _is_parents, "a table like { home = 'indoors', street = 'outdoors' }", {})
    if not given:
        return ()
    if sorted(given) != sorted(categories):
        table.problems.add(table.key("parents"), sorted(given), f"one parent for each of {', '.join(categories)}")
        return ()
    return tuple(given[c] for c in categories)


def _starts(table: TomlTable, categories: tuple[str, ...], dynamics: str | None) -> tuple[str, ...]:
    """Parse the start time of each category of a clock. Empty where the loop declares none."""
    expected = f'as many different times as categories ({len(categories)}), like ["06:00", "11:00"], for a clock'
    given = table.value("starts", lambda v: isinstance(v, list) and all(map(_is_clock, v)), expected, [])
    if given and (dynamics != "clock" or len(given) != len(categories) or len(set(given)) != len(given)):
        table.problems.add(table.key("starts"), given, expected)
        return ()
    return tuple(given)


def _is_parents(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) and v.strip() for v in value.values())


def _constants(table: TomlTable, dynamics: str | None, width: float | None) -> dict[str, float | None]:
    """Parse scale, step and decay, with public defaults where the dynamics need them. A category (width None) has none."""
    moves = width is not None and dynamics in ("learned", "drift")
    grows = width is not None and dynamics == "since_intervention"
    forgets = width is not None and dynamics == "recent_load"
    scale = _DEFAULT_SCALE * width if width is not None and moves else None
    step = width / DEFAULT_STEPS if width is not None and grows else None
    return {
        "scale": table.number("scale", "a number above 0", scale, above=0.0),
        "step": table.number("step", "a number above 0", step, above=0.0),
        "decay": table.number("decay", "a number from 0 to .9999", DEFAULT_DECAY if forgets else None, low=0.0, high=0.9999),
    }  # fmt: skip


def _is_bounds(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(map(is_number, value))
        and value[0] < value[1]
        and is_number(float(value[1]) - float(value[0]))
    )


def _heads(table: TomlTable) -> tuple[Head, ...]:
    if MAIN_HEAD not in table.data:
        table.problems.missing(f"heads.{MAIN_HEAD}", "a table with actions, reference and logging")
    return tuple(_head(name, table.table(name)) for name in table.data)


def _head(name: str, table: TomlTable) -> Head:
    if not _is_name(name, _LONGEST_HEAD):
        table.problems.add("the name of a head", name, _NAME_EXPECTED.format(_LONGEST_HEAD))
    actions = table.texts("actions", "a list of two or more different action names", least=2)
    known = actions or tuple(v for v in (table.data.get("reference"),) if isinstance(v, str))
    reference = table.one_of("reference", known) if known else table.text("reference", "one of the actions")
    logging = table.value("logging", lambda v: _is_distribution(v, actions), _logging_expected(actions))
    when = table.one_of("when", ("always", "intervening"), "always")
    if name == MAIN_HEAD and when != "always":
        table.problems.add(table.key("when"), when, f"always: {name} is the head that decides whether to intervene")
    table.close()
    total = math.fsum(logging or (1.0,))
    return Head(
        name=name,
        actions=actions or (),
        reference=reference or "",
        logging=tuple(float(p) if abs(total - 1) < _EXACT else p / total for p in logging or ()),
        when=when,
    )


def _logging_expected(actions: tuple[str, ...] | None) -> str:
    count = f"{len(actions)} " if actions else ""
    return f"{count}probabilities of at least {LEAST_PROBABILITY:g} that sum to 1, in the order of the actions"


def _is_distribution(value: Any, actions: tuple[str, ...] | None) -> bool:
    return (
        isinstance(value, list)
        and (actions is None or len(value) == len(actions))
        and all(is_number(p) and p >= LEAST_PROBABILITY for p in value)
        and abs(math.fsum(value) - 1) <= _SUM_ERROR
    )


def _moments(release: TomlTable) -> MomentsOptions:
    table = release.table("moments")
    clips = table.table("clips")
    values = {n: c for n in CLIP_NAMES if (c := clips.number(n, "a number above 0", None, above=0.0)) is not None}
    clips.close()
    options = MomentsOptions(
        nominal_users=table.integer("nominal_users", None),
        nominal_decisions=table.integer("nominal_decisions", None, high=_MOST_NOMINAL),
        clips=values,
        features=table.one_of("features", ("linear", "hinges"), None),
    )
    table.close()
    release.close()
    return options


def _availability(table: TomlTable, features: tuple[Feature, ...]) -> Availability:
    quiet = table.value(
        "quiet_hours", lambda v: isinstance(v, list) and len(v) == 2 and all(map(_is_clock, v)),
        'two times like ["22:30", "07:00"]', None,
    )  # fmt: skip
    options = Availability(
        daily_cap=table.integer("daily_cap", None, low=0),
        cooldown_seconds=table.seconds("cooldown", 0),
        quiet_hours=(quiet[0], quiet[1]) if quiet else None,
        distress=_distress(table.table("distress"), features),
        memory_seconds=table.seconds("memory", Availability.memory_seconds),
    )
    table.close()
    return options


def _distress(table: TomlTable, features: tuple[Feature, ...]) -> dict[str, tuple[float, float]]:
    """Parse the distress limits (at_most, at_least) of each numeric feature.

    An undeclared limit is infinite, so that no value reaches it.
    """
    numbers = tuple(f.name for f in features if not f.is_category)
    limits = {}
    for name in numbers:
        if not table.has(name):
            continue
        ends = table.table(name)
        declared = ends.has("at_most") or ends.has("at_least")  # an invalid limit is already reported by number()
        low = ends.number("at_most", "a finite number", None)
        high = ends.number("at_least", "a finite number", None)
        if not declared:
            table.problems.missing(ends.key("at_least"), "a finite number (or at_most)")
        ends.close()
        limits[name] = (-math.inf if low is None else low, math.inf if high is None else high)
    table.close()
    return limits


def _is_clock(value: Any) -> bool:
    return isinstance(value, str) and bool(_TIME.fullmatch(value))
