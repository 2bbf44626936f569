"""The page that asks before an operator approves, pauses, resumes, promotes, aborts or retries a rollout."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from core.errors import Conflict
from deployments.engine.rollouts.strategies import BESIDE, STRATEGIES
from deployments.models import Deployment
from deployments.selectors.rollouts import last_checks, progress_of, rollout_get
from deployments.services.rollouts.operate import (
    rollout_abort,
    rollout_approve,
    rollout_pause,
    rollout_promote,
    rollout_resume,
    rollout_retry,
)
from r3al_project.pages.operator_views import Question, confirm, dashboard_view, done, require
from r3al_project.permissions import DEPLOY_VERSION, OVERRIDE_COMPARISON, ROLLBACK_VERSION
from r3al_project.turns.rollout_acts import ROLL_BACK, RolloutOperation, is_before_evidence, operation_named
from r3al_project.turns.rollout_progress import next_step, stage_words
from r3al_project.turns.rollout_sentences import begun_sentence

_STORED = "Your reason is stored with the rollout, and its digest in the Trust Vault."
_TOO_EARLY = (
    "The evidence does not say yet that this version may go to everybody. Your reason is stored as an override."
)


@dashboard_view
def rollout_act(request: HttpRequest, rollout: int, act: str) -> HttpResponse:
    """Ask for confirmation and a reason, then do what was asked with a rollout."""
    operation, found = operation_named(act), rollout_get(rollout)
    require(request, ROLLBACK_VERSION if operation.needs == ROLL_BACK else DEPLOY_VERSION)
    if request.method == "POST":
        return done(request, lambda: _do(request, operation, found))

    def check() -> None:
        operation.check(found)
        if _overrides(operation, found) and not request.user.has_perm(OVERRIDE_COMPARISON):
            raise Conflict("the evidence does not say yet that this version may go to everybody; wait for it")

    return confirm(request, _question(operation, found), check=check)


def _overrides(operation: RolloutOperation, rollout: Deployment) -> bool:
    return operation.name == "promote" and is_before_evidence(rollout)


def _question(operation: RolloutOperation, rollout: Deployment) -> Question:
    label, progress = STRATEGIES[rollout.strategy].label, progress_of(rollout)
    now = next_step(rollout, progress, last_checks([rollout]).get(rollout.pk))
    return Question(
        f"{operation.label}: {label} of {rollout.version}?",
        f"{operation.effect_on(rollout)} {_STORED}",
        operation.label,
        warning=_warning(operation, rollout),
        reason="harm" if operation.name == "abort" and rollout.strategy not in BESIDE else "plain",
        notes=[stage_words(rollout, progress), now],
    )


def _warning(operation: RolloutOperation, rollout: Deployment) -> str:
    if _overrides(operation, rollout):
        return _TOO_EARLY
    if operation.name == "abort" and rollout.strategy not in BESIDE:
        return (
            "If it caused harm, it is never tried again, and versions that act like it are not deployed by themselves."
        )
    return ""


def _do(request: HttpRequest, operation: RolloutOperation, rollout: Deployment) -> str:
    given: dict[str, Any] = {
        "rollout": rollout, "actor": request.user.get_username(), "reason": request.POST.get("reason", ""),
    }  # fmt: skip
    label = f"the {STRATEGIES[rollout.strategy].label} of {rollout.version}"
    if operation.name == "retry":
        return begun_sentence(rollout_retry(**given))
    if operation.name == "abort":
        rollout_abort(harmful=bool(request.POST.get("harmful")), **given)
        return f"You ended {label}. Everybody keeps the present version."
    if operation.name == "promote":
        if is_before_evidence(rollout):
            require(request, OVERRIDE_COMPARISON)
            given["override"] = given["reason"]
        rollout_promote(**given)
        return f"{rollout.version} is deployed to everybody except the holdback."
    acts = {"approve": rollout_approve, "pause": rollout_pause, "resume": rollout_resume}
    acts[operation.name](**given)
    return f"{_DONE[operation.name]} {label}."


_DONE = {"approve": "You approved", "pause": "You paused", "resume": "You resumed"}
