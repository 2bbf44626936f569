"""Starting a rollout by its strategy: one line for the service behind each strategy that is available."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from core.errors import InputError
from deployments.engine.rollouts.strategies import FULL_ROLLOUT, STRATEGIES, RolloutStrategy, strategy_named
from deployments.models import Deployment
from deployments.services.rollouts.full import full_rollout
from training.models import ModelVersion


class StartRollout(Protocol):
    """Starts putting a version in front of people."""

    def __call__(self, *, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
        """Begin the deployment. ``override``: why, although the version was judged against something else. Raises Conflict."""
        ...


def starter_table(
    strategies: Mapping[str, RolloutStrategy], starters: dict[str, StartRollout]
) -> dict[str, StartRollout]:
    """The service that starts each available strategy. Raises ValueError where one lacks it, or where a refused one has it."""
    available = {name for name, strategy in strategies.items() if strategy.is_available}
    if strange := sorted(available ^ starters.keys()):
        raise ValueError(
            f"{', '.join(strange)}: an available rollout strategy has a service that starts it, no other has"
        )
    return starters


STARTERS = starter_table(
    STRATEGIES,
    {
        FULL_ROLLOUT: full_rollout,
    },
)


def rollout_start(*, strategy: str, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
    """Start putting a version in front of people by a strategy.

    Raises InputError for a strategy that is unknown or refused now, otherwise as the strategy's service does.
    """
    asked = strategy_named(strategy)
    if not asked.is_available:
        raise InputError(f"a rollout by {asked.label} cannot be started: {asked.refused}; take {' or '.join(STARTERS)}")
    return STARTERS[asked.name](version=version, actor=actor, reason=reason, override=override)
