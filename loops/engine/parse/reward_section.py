"""Parse the [reward] section of a loop file."""

from __future__ import annotations

from loops.engine.heads import MAIN_HEAD, timing_head
from loops.engine.parse.strict_toml import TomlTable, meant
from loops.engine.reward import COMPONENTS, DEFAULT_WEIGHTS
from loops.engine.spec import Feature, Head, Reward


def parse_reward(table: TomlTable, features: tuple[Feature, ...], heads: tuple[Head, ...]) -> Reward | None:
    """Parse the reward record. Problems are collected on the table, and a missing scale gives None."""
    scale = table.number("scale", "a number above 0: the size of an ordinary difference in reward", above=0.0)
    weights = table.table("weights")
    weight_of = {c: weights.number(c, "a number", DEFAULT_WEIGHTS[c]) for c in COMPONENTS}
    weights.close()
    reward = Reward(
        scale=scale or 1.0,
        weights=weight_of,
        appropriateness=_appropriateness(table, features, heads),
        best_delay_seconds=_best_delays(table, heads),
        delay_tolerance_seconds=table.seconds("delay_tolerance", Reward.delay_tolerance_seconds),
        deadline_seconds=table.seconds("deadline", Reward.deadline_seconds),
        default=table.number("default", "a number", None),
        aggregate=table.one_of("aggregate", ("earliest", "latest", "sum", "mean"), "earliest"),
        harmful_labels=table.texts("harmful_labels", "a list of different labels", (), least=0),
        limit=table.number("limit", "a number above 0: the largest size of a total", None, above=0.0),
        silence=table.one_of("silence", ("unknown", "harmless", "harmful"), "unknown"),
        stability_margin=table.number("stability_margin", "a number above 0", None, above=0.0),
    )
    table.close()
    return reward if scale is not None else None


def _appropriateness(table: TomlTable, features: tuple[Feature, ...], heads: tuple[Head, ...]) -> dict[str, str]:
    """Parse the map from actions of the main head to features. A leading minus means the opposite affect."""
    declared = table.text_map("appropriateness")
    actions = [a for h in heads if h.name == MAIN_HEAD for a in h.actions]
    numbers = [f.name for f in features if not f.is_category]
    for action, affect in declared.items():
        key = f"{table.key('appropriateness')}.{action}"
        if actions and action not in actions:
            table.problems.add(
                key, affect, f"on the left an action of {MAIN_HEAD}: {', '.join(actions)}{meant(action, actions)}"
            )
        if affect.removeprefix("-") not in numbers:
            expected = "a feature that is a number, with - before it for its opposite: " + ", ".join(numbers)
            table.problems.add(key, affect, expected, numbers)
    return declared


def _best_delays(table: TomlTable, heads: tuple[Head, ...]) -> dict[str, int]:
    """Parse the best delay t* of each action of the timing head, in seconds."""
    inner = table.table("best_delay")
    by_name = {h.name: h for h in heads}
    head = by_name.get(timing_head(by_name))
    actions = head.actions if head else ()
    for action in inner.data:
        if head and actions and action not in actions:
            expected = f"on the left an action of {head.name}: {', '.join(actions)}{meant(action, actions)}"
            table.problems.add(inner.key(action), inner.data[action], expected)
    return {action: seconds for action in inner.data if (seconds := inner.seconds(action)) is not None}
