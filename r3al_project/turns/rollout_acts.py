"""List what an operator may do with a rollout: which permission each act needs, when it fits, and what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.errors import Conflict, NotFound
from deployments.engine.rollouts.strategies import BESIDE, FULL_ROLLOUT, TRIAL
from deployments.engine.rollouts.transitions import ACTIVE_STATES
from deployments.models import Deployment, DeploymentState
from deployments.services.rollouts.operate import PROMOTE

DEPLOY, ROLL_BACK = "deploy", "rollback"


@dataclass(frozen=True)
class RolloutOperation:
    """Describe one act. ``needs``: deploy or rollback. ``effect``: what it does, in one sentence.

    ``fits``: whether the rollout's state allows it. ``misfit``: why it does not, otherwise.
    """

    name: str
    label: str
    needs: str
    effect: str
    fits: Callable[[Deployment], bool]
    misfit: str

    def effect_on(self, rollout: Deployment) -> str:
        """Return what the act does with this rollout, in one sentence."""
        return _EFFECTS_BESIDE.get(self.name, self.effect) if rollout.strategy in BESIDE else self.effect

    def check(self, rollout: Deployment) -> None:
        """Check that the rollout's state allows the act. Raises Conflict."""
        if not self.fits(rollout):
            raise Conflict(f"the rollout of {rollout.version} is {rollout.get_state_display()}, and {self.misfit}")


# Where a version only decides beside others, nobody has it.
_EFFECTS_BESIDE = {
    "pause": "The version decides no more, and everybody gets the present version, until you resume.",
    "resume": "The version decides beside the others again, and its time starts over.",
    "abort": "It ends, everybody gets the present version, and this one waits for another rollout.",
    "retry": "It starts over with fresh evidence.",
}


def is_before_evidence(rollout: Deployment) -> bool:
    """Tell whether a promotion would come before the evidence says so."""
    return rollout.waits_for != PROMOTE


def operation_named(name: str) -> RolloutOperation:
    """Return one act by its name. Raises NotFound that lists the acts."""
    if name not in ROLLOUT_ACTS:
        raise NotFound(f"{name[:40]!r} is nothing to do with a rollout; use {', '.join(ROLLOUT_ACTS)}")
    return ROLLOUT_ACTS[name]


def _is_asked(rollout: Deployment) -> bool:
    return rollout.state == DeploymentState.IN_PROGRESS and bool(rollout.waits_for)


def _runs(rollout: Deployment) -> bool:
    return rollout.state == DeploymentState.IN_PROGRESS


def _is_paused(rollout: Deployment) -> bool:
    return rollout.state == DeploymentState.PAUSED


def _is_active(rollout: Deployment) -> bool:
    return rollout.state in ACTIVE_STATES


def _is_promotable(rollout: Deployment) -> bool:
    return rollout.state in ACTIVE_STATES and rollout.strategy not in (TRIAL, *BESIDE)


def _was_aborted(rollout: Deployment) -> bool:
    return rollout.state == DeploymentState.ABORTED and rollout.strategy != FULL_ROLLOUT


ROLLOUT_ACTS = {
    act.name: act
    for act in (
        RolloutOperation(
            "approve", "Approve", DEPLOY, "Take the step that it waits for.", _is_asked, "it waits for no approval"
        ),
        RolloutOperation(
            "pause", "Pause", DEPLOY, "Everybody gets the present version until you resume.", _runs,
            "only one that runs is paused",
        ),
        RolloutOperation(
            "resume", "Resume", DEPLOY, "The same people get the version again, and this stage starts over.", _is_paused,
            "only a paused one is resumed",
        ),
        RolloutOperation(
            "promote", "Promote now", DEPLOY, "Everybody except the holdback gets the version at once.", _is_promotable,
            "only one in progress that people have, and that no turn judges, is promoted",
        ),
        RolloutOperation(
            "abort", "Abort", ROLL_BACK, "Everybody keeps the present version, and this one is archived.", _is_active,
            "only one in progress is aborted",
        ),
        RolloutOperation(
            "retry", "Try again", DEPLOY, "It starts over with people drawn anew and fresh evidence.", _was_aborted,
            "only one that was aborted is tried again",
        ),
    )
}  # fmt: skip
