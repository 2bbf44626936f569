"""Cards of the training dashboard about rollouts in progress: how far each one is, its evidence, and what an operator may do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.sentences import sentence
from deployments.engine.rollouts.strategies import BESIDE, STRATEGIES, TRIAL
from deployments.models import Deployment, DeploymentState, RolloutCheck
from deployments.selectors.rollouts import RolloutProgress, last_checks, progress_of
from r3al_project.pages.front_page import chip_of
from r3al_project.turns.rollout_acts import ROLLOUT_ACTS, RolloutOperation
from r3al_project.turns.rollout_evidence import STATE_WORDS, evidence_rows, harm_rows
from r3al_project.turns.rollout_progress import approved_words, next_step, rollout_words, stage_words, weeks_words

_STOPS = ("roll_back", "pause", "end")


def rollout_cards(watched: Sequence[Deployment]) -> list[dict[str, Any]]:
    """Return a card for each rollout in progress, in their order. Trials, and what nobody gets, have cards of their own."""
    rollouts = [rollout for rollout in watched if rollout.strategy not in (TRIAL, *BESIDE)]
    checks = last_checks(rollouts)
    return [_card(rollout, checks.get(rollout.pk)) for rollout in rollouts]


def _card(rollout: Deployment, check: RolloutCheck | None) -> dict[str, Any]:
    progress = progress_of(rollout)
    label = STRATEGIES[rollout.strategy].label
    return {
        "rollout": rollout,
        "title": f"{label[:1].upper()}{label[1:]}",
        "chip": chip_of(_chip_state(rollout), rollout_words(rollout)),
        "against": rollout.previous.name if rollout.previous and rollout.previous.is_learned else "the reference",
        "stage": stage_words(rollout, progress),
        "weeks": weeks_words(rollout, progress),
        "next": next_step(rollout, progress, check),
        "verdict": _verdict(check) if check is not None else "",
        "check": check,
        "evidence": _evidence(check) if check is not None else [],
        "harm": harm_rows(check) if check is not None else [],
        "acts": [{"act": a, "effect": _effect(a, rollout, progress)} for a in ROLLOUT_ACTS.values() if a.fits(rollout)],
    }


def _verdict(check: RolloutCheck) -> str:
    """Return what a verdict said. The evidence beside it gives the reasons, except of those that stop a rollout."""
    label = sentence(check.label[:1].upper() + check.label[1:])
    return f"{label} {' '.join(check.reasons)}" if check.step in _STOPS else label


def _effect(act: RolloutOperation, rollout: Deployment, progress: RolloutProgress) -> str:
    words = approved_words(rollout, progress) if act.name == "approve" else act.effect_on(rollout)
    return sentence(words[:1].upper() + words[1:])


def _chip_state(rollout: Deployment) -> str:
    if rollout.state == DeploymentState.PAUSED:
        return "cancelled"
    return "waiting" if rollout.waits_for else "running"


def _evidence(check: RolloutCheck) -> list[dict[str, Any]]:
    return [{"row": row, "chip": chip_of(row.state, STATE_WORDS[row.state])} for row in evidence_rows(check)]
