"""The strategies by which a version may be put in front of people: their names, and why one cannot be started now.

The services that start them are in ``deployments.services.rollouts.start``, which does not load unless every available strategy
has one.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.registries import registry, variant_named

_LONGEST_NAME = 20  # characters of the columns that keep it
FULL_ROLLOUT = "full_rollout"


@dataclass(frozen=True)
class RolloutStrategy:
    """One strategy. ``refused``: why it cannot be started now; empty where it can."""

    name: str
    label: str
    refused: str = ""

    @property
    def is_available(self) -> bool:
        """Whether it can be started now."""
        return not self.refused


def strategy_table(*strategies: RolloutStrategy) -> dict[str, RolloutStrategy]:
    """Strategies by name. Raises ValueError for one without a label, or with a name that cannot be kept."""
    table = registry("rollout strategy", *strategies, longest=_LONGEST_NAME)
    nameless = [name for name, strategy in table.items() if not strategy.label]
    if nameless:
        raise ValueError(f"rollout strategy {', '.join(nameless)} needs a label")
    return table


STRATEGIES = strategy_table(
    RolloutStrategy(FULL_ROLLOUT, "full rollout"),
    RolloutStrategy("canary", "canary", refused="nothing raises a candidate's share of the traffic step by step yet"),
    RolloutStrategy("shadow_test", "shadow test", refused="nothing records what a candidate would have chosen yet"),
    RolloutStrategy("ab_test", "A/B test", refused="nothing compares two arms and decides between them yet"),
)


def strategy_named(name: str) -> RolloutStrategy:
    """The strategy of a name. Raises InputError that lists the names there are."""
    return variant_named("rollout strategy", STRATEGIES, name)


def strategy_choices() -> list[tuple[str, str]]:
    """Name and label of each, for the columns that keep one."""
    return [(strategy.name, strategy.label) for strategy in STRATEGIES.values()]
