"""Do what a loop may ask a second operator for: override a gate, force a promotion, spend more epsilon, publish a loop file.

Each act is done at once where the loop asks for nobody. Otherwise it waits, and is done through its door once it is approved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.json_safe import json_safe
from deployments.engine.rollouts.strategies import STRATEGIES
from deployments.models import DEPLOY_VERSION, OVERRIDE_COMPARISON, Deployment
from deployments.selectors.rollouts import rollout_get
from deployments.services.rollouts.operate import rollout_promote, rollout_retry
from deployments.services.rollouts.slots import LONGEST_REASON
from deployments.services.rollouts.start import strategy_wanted
from loops.models import LoopVersion
from loops.selectors import loop_version_current
from privacy.models import Approval
from privacy.models.approval import DECIDE_APPROVAL
from privacy.services.approvals.ask import act_or_ask
from privacy.services.approvals.doors import ApprovedDoor, door_register
from privacy.services.approvals.second_operator import OperatorAccount, SecondOperatorNeeded
from r3al_project.turns.add_loop import loop_add_text, loop_text
from r3al_project.turns.deploy_by_hand import deploy_by_hand
from r3al_project.turns.models import START_TURN, Turn
from r3al_project.turns.services import turn_start
from training.models import ModelVersion
from training.selectors.versions import version_get

_OVERRIDES = (DEPLOY_VERSION, OVERRIDE_COMPARISON)


def deploy_or_ask(
    *,
    version: ModelVersion,
    by: OperatorAccount,
    reason: str,
    strategy: str | None = None,
    override: str = "",
    share: float | None = None,
) -> Deployment | Approval:
    """Deploy a version or begin to try it (``deploy_by_hand``), or write down that its override waits."""
    chosen, override = strategy or strategy_wanted(version), _kept(override)
    frozen = {"version": version.pk, "reason": reason, "strategy": chosen, "override": override, "share": share}
    label = STRATEGIES[chosen].label if chosen in STRATEGIES else chosen
    first = "" if share is None else f" for {share:.12g} of the people"
    return act_or_ask(
        lambda: _deploy(version, frozen, by.name),
        door="deploy",
        words=f"Begin a {label} of {version}{first}, although something speaks against it.",
        parameters=frozen,
        by=by,
        reason=override,
    )


def _kept(override: str) -> str:
    """Return as much of the reason for an override as a rollout stores, so that a request that waits holds no more."""
    return override.strip()[:LONGEST_REASON]


def _deploy(version: ModelVersion, frozen: Mapping[str, Any], actor: str) -> Deployment:
    terms = {name: frozen[name] for name in ("reason", "strategy", "override", "share")}
    return deploy_by_hand(version=version, actor=actor, **terms)


def promote_or_ask(
    *, rollout: Deployment, by: OperatorAccount, reason: str, override: str = ""
) -> Deployment | Approval:
    """Give the candidate to everybody (``rollout_promote``), or write down that its forced promotion waits."""
    return act_or_ask(
        lambda: rollout_promote(rollout=rollout, actor=by.name, reason=reason, override=override),
        door="promote",
        words=f"Promote {rollout.version} before its evidence says so.",
        parameters={"rollout": rollout.pk, "override": override},
        by=by,
        reason=reason,
    )


def retry_or_ask(*, rollout: Deployment, by: OperatorAccount, reason: str, override: str = "") -> Deployment | Approval:
    """Start an aborted rollout again (``rollout_retry``), or write down that its override waits."""
    override = _kept(override)
    return act_or_ask(
        lambda: rollout_retry(rollout=rollout, actor=by.name, reason=reason, override=override),
        door="retry",
        words=f"Try {rollout.version} again, although something speaks against it.",
        parameters={"rollout": rollout.pk, "override": override},
        by=by,
        reason=reason,
    )


def turn_start_or_ask(*, loop_version: LoopVersion, parameters: dict[str, Any], by: OperatorAccount) -> Turn | Approval:
    """Start a turn (``turn_start``), or write down that its privacy parameters wait.

    Raises: InputError for a turn that would have to wait and imports a file: its path and its reasons may name people.
    """
    epsilon, delta = parameters["epsilon"], parameters["delta"]

    def start() -> Turn:
        try:
            return turn_start(loop_version=loop_version, parameters=parameters, actor=by.name)
        except SecondOperatorNeeded:
            if "source" not in parameters:
                raise
            raise InputError(
                "a turn that waits for a second operator cannot import a file; import it first, then start the turn without it"
            ) from None

    return act_or_ask(
        start,
        door="turn",
        words=f"Start a turn of {loop_version} with epsilon {epsilon:.12g} and delta {delta:.12g}.",
        parameters={"loop": loop_version.loop.name, "parameters": json_safe(parameters)},
        by=by,
        reason="",
    )


def loop_file_or_ask(*, path: Path, by: OperatorAccount, reason: str = "") -> tuple[LoopVersion, bool] | Approval:
    """Store a loop file (``loop_add_text``), or write down that it waits because it asks for a second operator less often."""
    text = loop_text(path)
    return act_or_ask(
        lambda: loop_add_text(text, str(path)),
        door="loop file",
        words=lambda seen: (
            f"Publish a loop file after version {seen['after']} that asks for no second operator any more for: "
            f"{', '.join(seen['dropped'])}. Read the whole file among the frozen parameters."
        ),
        parameters={"text": text},
        by=by,
        reason=reason,
    )


def _carry_out_deploy(parameters: Mapping[str, Any], by: OperatorAccount, reason: str) -> Deployment:
    return _deploy(version_get(parameters["version"]), parameters, by.name)


def _carry_out_promote(parameters: Mapping[str, Any], by: OperatorAccount, reason: str) -> Deployment:
    rollout = rollout_get(parameters["rollout"])
    return rollout_promote(rollout=rollout, actor=by.name, reason=reason, override=parameters["override"])


def _carry_out_retry(parameters: Mapping[str, Any], by: OperatorAccount, reason: str) -> Deployment:
    rollout = rollout_get(parameters["rollout"])
    return rollout_retry(rollout=rollout, actor=by.name, reason=reason, override=parameters["override"])


def _carry_out_turn(parameters: Mapping[str, Any], by: OperatorAccount, reason: str) -> Turn:
    version = loop_version_current(parameters["loop"])
    return turn_start(loop_version=version, parameters=dict(parameters["parameters"]), actor=by.name)


def _carry_out_loop_file(parameters: Mapping[str, Any], by: OperatorAccount, reason: str) -> LoopVersion:
    return loop_add_text(parameters["text"], "the loop file")[0]


for _door in (
    ApprovedDoor("deploy", _OVERRIDES, _carry_out_deploy),
    ApprovedDoor("promote", _OVERRIDES, _carry_out_promote),
    ApprovedDoor("retry", _OVERRIDES, _carry_out_retry),
    ApprovedDoor("turn", (START_TURN,), _carry_out_turn, is_queued=True),
    ApprovedDoor("loop file", (DECIDE_APPROVAL,), _carry_out_loop_file),
):
    door_register(_door)
