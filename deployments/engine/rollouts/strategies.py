"""Register rollout strategies by name, with the reason why one is not available.

``deployments.services.rollouts.start`` holds the services that start them. It fails at import if an available strategy has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.variant_registry import registry, variant_named

_LONGEST_NAME = 20  # characters, as in the database columns
FULL_ROLLOUT = "full_rollout"
TRIAL = "trial"
CANARY = "canary"
SHADOW_TEST = "shadow_test"
AB_TEST = "ab_test"
APPRENTICE = "apprentice"
BESIDE = (SHADOW_TEST, APPRENTICE)  # the version decides beside others, and nobody gets its actions


@dataclass(frozen=True)
class RolloutStrategy:
    """Describe one strategy. ``refused``: the reason why it is not available, or empty."""

    name: str
    label: str
    refused: str = ""

    @property
    def is_available(self) -> bool:
        """Tell whether the strategy can be started."""
        return not self.refused


def strategy_table(*strategies: RolloutStrategy) -> dict[str, RolloutStrategy]:
    """Return strategies by name. Raises ValueError for a missing label, and for a name that does not fit its column."""
    table = registry("rollout strategy", *strategies, longest=_LONGEST_NAME)
    unlabelled = [name for name, strategy in table.items() if not strategy.label]
    if unlabelled:
        raise ValueError(f"rollout strategy {', '.join(unlabelled)} needs a label")
    return table


STRATEGIES = strategy_table(
    RolloutStrategy(FULL_ROLLOUT, "full rollout"),
    RolloutStrategy(TRIAL, "trial on half of the people"),
    RolloutStrategy(CANARY, "canary"),
    RolloutStrategy(SHADOW_TEST, "shadow test"),
    RolloutStrategy(AB_TEST, "A/B test"),
    RolloutStrategy(APPRENTICE, "apprenticeship"),
)


def strategy_named(name: str) -> RolloutStrategy:
    """Return the strategy with this name. Raises InputError that lists the known names."""
    return variant_named("rollout strategy", STRATEGIES, name)


def strategy_choices() -> list[tuple[str, str]]:
    """Return (name, label) of each strategy, as choices of database columns."""
    return [(strategy.name, strategy.label) for strategy in STRATEGIES.values()]
