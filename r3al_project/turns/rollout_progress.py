"""State in sentences how far a rollout is and what comes next. Pages, commands and the API use the same ones."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from core import clock
from core.sentences import clause
from deployments.engine.arm_assignment import EPOCH
from deployments.engine.rollouts.strategies import BESIDE, FULL_ROLLOUT, STRATEGIES, TRIAL
from deployments.engine.rollouts.transitions import ACTIVE_STATES
from deployments.models import Deployment, DeploymentState, RolloutCheck
from deployments.selectors.rollouts import RolloutProgress, last_pause
from deployments.selectors.shadow import shadow_began
from deployments.services.rollouts.operate import ADVANCE, TICK

_DAY = timedelta(days=1)


def share_text(share: float) -> str:
    """Return a share as a percentage, such as "10%"."""
    return f"{100 * share:.4g}%"


def tried_words(strategy: str, state: str, weight_bp: int) -> str:
    """Return what a version's chip says while a rollout tries it, such as "canary, 10% of people"."""
    if strategy == TRIAL:
        return "on trial"
    label = STRATEGIES[strategy].label
    if state == DeploymentState.PAUSED:
        return f"{label}, paused"
    return f"{label}, {weight_bp / 100:g}% of people" if weight_bp else label


def rollout_words(rollout: Deployment) -> str:
    """Return how a rollout tries its version, as ``tried_words``."""
    return tried_words(rollout.strategy, rollout.state, rollout.slot.weight_bp)


def stage_words(rollout: Deployment, progress: RolloutProgress) -> str:
    """State the present stage and who has the version in it."""
    if rollout.state not in ACTIVE_STATES:
        return f"It is {rollout.get_state_display()}."
    if rollout.strategy in BESIDE:
        return "Nobody gets the version's actions."
    share = share_text(progress.share or 0.0)
    has = f"{share} of people have the version now." if progress.share else "Nobody has the version now."
    if len(progress.stages) < 2:
        return has
    ahead = ", ".join(share_text(stage) for stage in (*progress.stages, 1.0))
    return f"Stage {rollout.stage + 1} of {len(progress.stages)} ({ahead}). {has}"


def weeks_words(rollout: Deployment, progress: RolloutProgress) -> str:
    """State how many weeks of a stage are closed, or return an empty text for a rollout that has none."""
    if not progress.due or rollout.strategy in BESIDE:
        return ""
    times = {0: "", 1: " It was extended once."}.get(rollout.extended, f" It was extended {rollout.extended} times.")
    return f"{min(progress.closed, progress.due)} of {progress.due} whole weeks are closed.{times}"


def next_step(rollout: Deployment, progress: RolloutProgress, check: RolloutCheck | None) -> str:
    """State what a rollout waits for. ``check``: its last stored verdict."""
    if rollout.strategy == FULL_ROLLOUT or rollout.state not in ACTIVE_STATES:
        return ended_words(rollout)
    if rollout.state == DeploymentState.PAUSED:
        return f"{paused_words(rollout)} Resume it or abort it."
    if rollout.waits_for:
        return f"It waits for your approval: then {approved_words(rollout, progress)}."
    if rollout.strategy == TRIAL:
        return "The next turn reads the trial."
    if rollout.strategy in BESIDE:
        return f"It ends by itself on {beside_ends(rollout):%Y-%m-%d}, and promotes nothing."
    return f"{_time_words(progress)}{_data_words(check)}"


def beside_ends(rollout: Deployment) -> datetime:
    """Return when a rollout ends by itself whose version decides beside others: its declared weeks after it began or went on."""
    due = shadow_began(rollout) + int(rollout.frozen_policy["weeks"]) * (1 + rollout.extended) * EPOCH
    return max(due, clock.now())


def ended_words(rollout: Deployment) -> str:
    """State how a rollout ended, or that a full rollout is complete."""
    when = f" on {rollout.finished_at:%Y-%m-%d}" if rollout.finished_at else ""
    harm = ", for harm" if rollout.harmful else ""
    return f"Nothing is left to do. It {_ENDS.get(rollout.state, rollout.get_state_display())}{when}{harm}."


_ENDS = {
    DeploymentState.SUCCEEDED.value: "succeeded",
    DeploymentState.ROLLED_BACK.value: "was rolled back",
    DeploymentState.ABORTED.value: "was aborted",
    DeploymentState.FAILED.value: "failed",
}


def paused_words(rollout: Deployment) -> str:
    """State who paused a rollout and why."""
    pause = last_pause(rollout)
    if pause is None:
        return "It is paused."
    by = "Paused by itself" if pause.actor == TICK else f"Paused by {pause.actor or 'an operator'}"
    return f"{by} because: {clause(pause.reason)}."


def approved_words(rollout: Deployment, progress: RolloutProgress) -> str:
    """Return what happens once an operator approves, such as "50% of people get the version"."""
    if rollout.waits_for == ADVANCE and rollout.stage + 1 < len(progress.stages):
        return f"{share_text(progress.stages[rollout.stage + 1])} of people get the version"
    return "everybody gets the version"


def _time_words(progress: RolloutProgress) -> str:
    if not progress.due:
        return "A check runs every minute and decides."
    left = _days(math.ceil((progress.week_ends - clock.now()) / _DAY))
    if progress.week_of_stage == 0:
        return f"The first whole week of this stage begins in {left}."
    if progress.week_of_stage <= progress.due:
        return f"{left[:1].upper()}{left[1:]} left of week {progress.week_of_stage} of {progress.due}."
    if progress.closed < progress.due:
        return "All weeks of this stage are over. It is judged once their last outcomes are closed."
    return "All weeks of this stage are closed. The next check decides."


def _days(count: int) -> str:
    return "1 day" if count <= 1 else f"{count} days"


def _data_words(check: RolloutCheck | None) -> str:
    """Say that nobody's outcomes are known yet, where that is so."""
    arms = [check.facts[arm] for arm in ("candidate", "stable") if arm in check.facts] if check is not None else []
    known = check is not None and (not arms or any(arm.get("people") for arm in arms))
    return "" if known else " There is no data yet."
