"""Start a rollout by its strategy. Each available strategy has one line here with its service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from core.errors import InputError
from deployments.engine.rollouts.strategies import FULL_ROLLOUT, STRATEGIES, TRIAL, RolloutStrategy, strategy_named
from deployments.models import Deployment
from deployments.services.rollouts.full_rollout import full_rollout
from deployments.services.rollouts.trial import trial_start
from training.models import ModelVersion


class StartRollout(Protocol):
    """Start the rollout of a version."""

    def __call__(self, *, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
        """Start the deployment.

        ``override``: why it is deployed although it was judged against another policy. Raises Conflict.
        """
        ...


def starter_table(
    strategies: Mapping[str, RolloutStrategy], starters: dict[str, StartRollout]
) -> dict[str, StartRollout]:
    """Check that exactly the available strategies have a service that starts them, and return these. Raises ValueError."""
    available = {name for name, strategy in strategies.items() if strategy.is_available}
    if mismatched := sorted(available ^ starters.keys()):
        raise ValueError(
            f"{', '.join(mismatched)}: an available rollout strategy has a service that starts it, and no other strategy has one"
        )
    return starters


STARTERS = starter_table(
    STRATEGIES,
    {
        FULL_ROLLOUT: full_rollout,
        TRIAL: trial_start,
    },
)


def rollout_start(*, strategy: str, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
    """Start the rollout of a version by a strategy.

    Raises: InputError for a strategy that is unknown or not available. Conflict when the version cannot be deployed now.
    """
    chosen = strategy_named(strategy)
    if not chosen.is_available:
        raise InputError(
            f"a rollout by {chosen.label} cannot be started: {chosen.refused}; use {' or '.join(STARTERS)}"
        )
    return STARTERS[chosen.name](version=version, actor=actor, reason=reason, override=override)
