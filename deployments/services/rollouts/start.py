"""Start a rollout by its strategy. Each available strategy has one line here with its service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from core.errors import InputError, R3alError
from deployments.engine.rollouts.strategies import FULL_ROLLOUT, STRATEGIES, TRIAL, RolloutStrategy, strategy_named
from deployments.models import Deployment
from deployments.selectors.slots import is_on_trial
from deployments.services.rollouts.full_rollout import Proposal, deploy_check, full_rollout
from deployments.services.rollouts.trial import promote_check, trial_check, trial_promote, trial_start
from loops.engine.heads import MAIN_HEAD
from training.models import ModelVersion
from training.selectors.evidence import trial_is_wanted
from training.selectors.versions import last_verdict


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
    """Start the rollout of a version by a strategy. A version on trial is promoted, if the trial passed.

    Raises: InputError for a strategy that is unknown or not available. Conflict when the version cannot be deployed now.
    """
    chosen = strategy_named(strategy)
    if not chosen.is_available:
        raise InputError(
            f"a rollout by {chosen.label} cannot be started: {chosen.refused}; use {' or '.join(STARTERS)}"
        )
    if chosen.name == FULL_ROLLOUT and is_on_trial(version):
        return trial_promote(version=version, actor=actor, reason=reason, override=override)
    return STARTERS[chosen.name](version=version, actor=actor, reason=reason, override=override)


def strategy_wanted(version: ModelVersion) -> str:
    """Return the strategy by which a turn would deploy a version by itself.

    That is a trial for a policy that its gates leave undecided, and for a first policy unless the loop says otherwise.
    """
    if version.head != MAIN_HEAD or is_on_trial(version):
        return FULL_ROLLOUT
    return TRIAL if trial_is_wanted(version) else FULL_ROLLOUT


@dataclass(frozen=True)
class RolloutOptions:
    """Hold the ways in which a version could be deployed now, that of a turn first, and why there is none.

    on_trial: whether it is on trial, so that a full rollout promotes it.
    """

    strategies: tuple[str, ...] = ()
    refused: str = ""
    on_trial: bool = False


def rollout_options(proposal: Proposal) -> RolloutOptions:
    """Return the ways in which a version could be deployed now, whichever policy it was judged against."""
    version = proposal.version
    if is_on_trial(version):
        refused = _refusal(lambda: promote_check(version))
        return RolloutOptions(() if refused else (FULL_ROLLOUT,), refused, on_trial=True)
    verdict = last_verdict(version)
    trial = "not asked" if version.head != MAIN_HEAD else _refusal(lambda: trial_check(proposal, verdict))
    if not trial and (verdict is None or verdict.verdict != "pass"):
        return RolloutOptions((TRIAL,))
    full = _refusal(lambda: deploy_check(proposal, verdict))
    strategies = [name for name, refused in ((TRIAL, trial), (FULL_ROLLOUT, full)) if not refused]
    return RolloutOptions(tuple(strategies), "" if strategies else full)


def _refusal(check: Callable[[], None]) -> str:
    try:
        check()
    except R3alError as error:
        return str(error)
    return ""
