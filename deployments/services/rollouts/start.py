"""Start a rollout by its strategy. Each available strategy has one line here with its service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from core.errors import Conflict, InputError, R3alError
from deployments.engine.rollouts.strategies import (
    AB_TEST,
    APPRENTICE,
    BESIDE,
    CANARY,
    FULL_ROLLOUT,
    SHADOW_TEST,
    STRATEGIES,
    TRIAL,
    RolloutStrategy,
    strategy_named,
)
from deployments.models import Deployment
from deployments.selectors.slots import is_on_trial
from deployments.services.rollouts.ab_test import ab_test_start
from deployments.services.rollouts.apprentice import apprentice_start
from deployments.services.rollouts.canary import canary_start
from deployments.services.rollouts.full_rollout import Proposal, full_rollout, serving_check, verdict_check
from deployments.services.rollouts.gate_standing import GateStanding, gate_standing
from deployments.services.rollouts.shadow import shadow_start, was_beside
from deployments.services.rollouts.trial import promote_check, trial_promote, trial_start, trial_wanted_check
from loops.engine.heads import MAIN_HEAD
from loops.models import LoopVersion
from loops.selectors import loop_version_current
from training.models import ModelVersion


class StartForAll(Protocol):
    """Start the rollout of a version with a share of the people that nobody chooses."""

    def __call__(self, *, version: ModelVersion, actor: str, reason: str, override: str = "") -> Deployment:
        """Start the deployment. ``override``: why, although there is an objection. Raises Conflict."""
        ...


class StartRollout(Protocol):
    """Start the rollout of a version."""

    def __call__(
        self, *, version: ModelVersion, actor: str, reason: str, override: str = "", share: float | None = None
    ) -> Deployment:
        """Start the deployment.

        ``override``: why, although there is an objection. ``share``: of the people who get it first (None: as declared). Raises
        Conflict and InputError.
        """
        ...


def without_share(start: StartForAll, label: str) -> StartRollout:
    """Make a starter that refuses a chosen share of the people. ``label``: what the error calls the rollout, with its article."""

    def starter(
        *, version: ModelVersion, actor: str, reason: str, override: str = "", share: float | None = None
    ) -> Deployment:
        if share is not None:
            raise InputError(
                f"{label} begins with no share of your choice; leave trafficPercentage at 100",
                field="trafficPercentage",
            )
        return start(version=version, actor=actor, reason=reason, override=override)

    return starter


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
        FULL_ROLLOUT: without_share(full_rollout, "a full rollout"),
        TRIAL: without_share(trial_start, "a trial"),
        CANARY: canary_start,
        SHADOW_TEST: without_share(shadow_start, "a shadow test"),
        AB_TEST: ab_test_start,
        APPRENTICE: without_share(apprentice_start, "an apprenticeship"),
    },
)


def rollout_start(
    *,
    strategy: str,
    version: ModelVersion,
    actor: str,
    reason: str,
    override: str = "",
    share: float | None = None,
) -> Deployment:
    """Start the rollout of a version by a strategy. A version on trial is promoted, if the trial passed.

    Args:
        share: of the people who get the version first, from 0 to 1. None: as the loop declares, or everybody.
    Raises: InputError for a strategy that is unknown or not available, and for a share that it does not take. Conflict when the
        version cannot be deployed now.
    """
    chosen = strategy_named(strategy)
    if not chosen.is_available:
        raise InputError(
            f"a rollout by {chosen.label} cannot be started: {chosen.refused}; use {' or '.join(STARTERS)}",
            field="deploymentType",
        )
    if chosen.name == FULL_ROLLOUT and is_on_trial(version):
        return trial_promote(version=version, actor=actor, reason=reason, override=override)
    return STARTERS[chosen.name](version=version, actor=actor, reason=reason, override=override, share=share)


def strategy_wanted(
    version: ModelVersion, standing: GateStanding | None = None, current: LoopVersion | None = None
) -> str:
    """Return the strategy by which a turn would deploy a version by itself.

    That is the loop's declared one. Otherwise it is a trial for a policy that its gates leave undecided, and for a first policy
    unless the loop says otherwise. What is undecided never goes to everybody at once. A declared shadow test
    or apprenticeship comes once.

    Args:
        standing: what its gate allows, if it was read already. The version is then not on trial.
        current: the loop's present version, if it was read already.
    """
    if version.head != MAIN_HEAD or (standing is None and is_on_trial(version)):
        return FULL_ROLLOUT
    found = standing or gate_standing(version)
    current = current or loop_version_current(version.loop_version.loop.name)
    declared = current.spec.rollout.strategy
    if declared in BESIDE and was_beside(version, declared):
        declared = ""
    if declared in STARTERS and (declared != FULL_ROLLOUT or found.is_proven):
        return declared
    return TRIAL if found.asks_for_trial else FULL_ROLLOUT


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
    standing = gate_standing(version)
    checks: dict[str, Callable[[], None]] = {
        FULL_ROLLOUT: lambda: verdict_check(version, standing.verdict),
        TRIAL: lambda: trial_wanted_check(standing),
    }
    checks = dict.fromkeys(STARTERS, lambda: _tried_check(standing)) | checks
    if version.head != MAIN_HEAD:
        del checks[TRIAL]
    refusals = {name: _refusal(check) for name, check in checks.items()}
    if not all(refusals.values()) and (refused := _refusal(lambda: serving_check(proposal))):
        return RolloutOptions((), refused)
    open_ways = [name for name, refused in refusals.items() if not refused]
    wanted = strategy_wanted(version, standing, proposal.current)
    open_ways.sort(key=lambda name: (name != wanted, list(STRATEGIES).index(name)))
    return RolloutOptions(tuple(open_ways), "" if open_ways else refusals[FULL_ROLLOUT])


def _tried_check(standing: GateStanding) -> None:
    standing.evaluated_check("rolled out")
    if standing.objection:
        raise Conflict(standing.objection)


def _refusal(check: Callable[[], None]) -> str:
    try:
        check()
    except R3alError as error:
        return str(error)
    return ""
