"""Cards of the training dashboard about rollouts in progress: how far each one is, its evidence, and what an operator may do."""

from __future__ import annotations

from typing import Any

from core.sentences import sentence
from deployments.engine.rollouts.strategies import STRATEGIES, TRIAL
from deployments.models import Deployment, DeploymentState, RolloutCheck
from deployments.selectors.rollouts import last_checks, progress_of, shows_figures
from deployments.selectors.slots import rollouts_now
from r3al_project.pages.front_page import chip_of
from r3al_project.turns.rollout_acts import ROLLOUT_ACTS
from r3al_project.turns.rollout_evidence import STATE_WORDS, evidence_rows, harm_rows
from r3al_project.turns.rollout_progress import next_step, stage_words, tried_words, weeks_words


def rollout_cards() -> list[dict[str, Any]]:
    """Return a card for each rollout in progress, oldest first. Trials have cards of their own, because turns judge them."""
    rollouts = [rollout for rollout in rollouts_now() if rollout.strategy != TRIAL]
    checks = last_checks(rollouts)
    return [_card(rollout, checks.get(rollout.pk)) for rollout in rollouts]


def _card(rollout: Deployment, check: RolloutCheck | None) -> dict[str, Any]:
    progress = progress_of(rollout)
    label = STRATEGIES[rollout.strategy].label
    return {
        "rollout": rollout,
        "title": f"{label[:1].upper()}{label[1:]}",
        "chip": chip_of(_chip_state(rollout), tried_words(rollout)),
        "against": rollout.previous.name if rollout.previous and rollout.previous.is_learned else "the reference",
        "stage": stage_words(rollout, progress),
        "weeks": weeks_words(rollout, progress),
        "next": next_step(rollout, progress, check),
        "verdict": f"{sentence(check.label)} {' '.join(check.reasons)}".strip() if check is not None else "",
        "check": check,
        "shows_figures": check is not None and shows_figures(check),
        "evidence": _evidence(check) if check is not None else [],
        "harm": harm_rows(check) if check is not None else [],
        "acts": [act for act in ROLLOUT_ACTS.values() if act.fits(rollout)],
    }


def _chip_state(rollout: Deployment) -> str:
    if rollout.state == DeploymentState.PAUSED:
        return "cancelled"
    return "waiting" if rollout.waits_for else "running"


def _evidence(check: RolloutCheck) -> list[dict[str, Any]]:
    return [{"row": row, "chip": chip_of(row.state, STATE_WORDS[row.state])} for row in evidence_rows(check)]
