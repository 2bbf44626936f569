"""Cards of the training dashboard about trials: since when one runs, on how many people, and what its last look said.

Numbers of people come from releases, where they are noised. They are rounded to two digits as well.
"""

from __future__ import annotations

from typing import Any

from core import clock
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment
from deployments.selectors.slots import trials_now
from loops.selectors import loop_version_current
from privacy.engine.dp.coarse_counts import two_digits
from r3al_project.pages.front_page import chip_of, metric_row
from r3al_project.turns.selectors import turn_due_at, turn_running
from training.engine.gates.trial import TRIAL_LOOKS
from training.models import TRIAL_GATE, VERDICT_WORDS, GateVerdict
from training.selectors.evidence import people_behind, trial_looks


def trial_cards() -> list[dict[str, Any]]:
    """Return a card for each trial in progress, oldest first."""
    return [_card(trial) for trial in trials_now()]


def _card(trial: Deployment) -> dict[str, Any]:
    looks, most = trial_looks(trial.version), int(trial.frozen_policy.get("looks", TRIAL_LOOKS))
    metrics = trial.version.metrics.filter(source=TRIAL_GATE).order_by("id") if looks else ()
    return {
        "trial": trial,
        "against": trial.previous.name if trial.previous and trial.previous.is_learned else "the reference",
        "people": _people(trial),
        "exploration": f"{100 * trial.slot.exploration_bp / BASIS_POINTS:g}%",
        "last": _last_look(looks, most),
        "chip": chip_of(looks[-1].verdict, VERDICT_WORDS[looks[-1].verdict]) if looks else None,
        "metrics": [metric_row(metric) for metric in metrics],
        "next": _next_look(trial, most - len(looks)),
    }


def _people(trial: Deployment) -> str:
    """State which people have the version: half of them, and about how many that are by the newest release."""
    noised = people_behind(trial.version)
    about = two_digits(round(max(noised or 0.0, 0.0)))
    if not about:
        return "Half of the people. No release has counted them yet."
    return f"Half of the people: about {two_digits(about // 2):,} of about {about:,} in the newest release."


def _last_look(looks: list[GateVerdict], most: int) -> str:
    if not looks:
        return "No turn has read the trial yet."
    return f"Look {len(looks)} of {most} on {looks[-1].created_at:%Y-%m-%d}. {looks[-1].reason}"


def _next_look(trial: Deployment, left: int) -> str:
    """State when the trial is read next, and how often it still may be."""
    rest = "It is the last one." if left == 1 else f"At most {left} looks are left."
    running = turn_running(loop=trial.slot.loop)
    if running is not None:
        return f"The running {running} reads the trial, if its people have new outcomes. {rest}"
    due_at = turn_due_at(loop_version_current(trial.slot.loop.name))
    if due_at is None:
        return f"The next turn reads the trial. The loop has no schedule, so start a turn when people have new outcomes. {rest}"
    when = "within the hour" if due_at <= clock.now() else f"on {due_at:%Y-%m-%d at %H:%M} UTC"
    return (
        f"The scheduled turn reads the trial {when}, if its people have new outcomes. You can start one earlier. {rest}"
    )
