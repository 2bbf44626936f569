"""Pages that roll a version back or stop its rollout, and that undo a rollback, each after a confirmation."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from deployments.engine.rollouts.strategies import APPRENTICE, STRATEGIES, TRIAL
from deployments.models import Deployment
from deployments.selectors.slots import incident_of, rollout_beside, rollout_with, serving_after
from deployments.services.rollouts.rollback import rollback_check, rollback_undo, undo_check, version_rollback
from r3al_project.pages.operator_views import Question, confirm, dashboard_view, done, require
from r3al_project.permissions import ROLLBACK_VERSION
from training.models import ModelVersion
from training.selectors.versions import version_get


@dashboard_view
def rollback(request: HttpRequest, version: int) -> HttpResponse:
    """Ask for confirmation and a reason, then roll back a deployed version."""
    require(request, ROLLBACK_VERSION)

    def act() -> str:
        found = version_get(version)
        incident = version_rollback(
            version=found,
            actor=request.user.get_username(),
            reason=request.POST.get("reason", ""),
            harmful=bool(request.POST.get("harmful")),
        )
        return f"{found} is rolled back. {serving_after(incident)} is deployed now."

    if request.method == "POST":
        return done(request, act)
    found = version_get(version)
    title, text, warning = _rollback_words(found)
    question = Question(
        title,
        f"{text} Your reason is stored with the incident, and its digest in the Trust Vault.",
        f"Stop the {_label(tried)}" if (tried := rollout_with(found)) else "Roll back",
        warning=warning,
        reason="plain" if rollout_beside(found) is not None else "harm",
    )
    return confirm(request, question, check=lambda: rollback_check(found))


def _rollback_words(found: ModelVersion) -> tuple[str, str, str]:
    """Return title, text and warning of the page that asks before a rollback, or before a rollout is stopped."""
    harm = (
        "If it caused harm, it is never deployed again, and versions that act like it are not deployed by themselves."
    )
    if (beside := rollout_beside(found)) is not None:
        text = "Nobody gets its actions, so nothing changes for anybody."
        if beside.strategy == APPRENTICE:
            text = "The app's own choices are served no more, and everybody gets the present version within a second."
        return f"Stop the {_label(beside)} of {found}?", text, f"{found.name} waits for another rollout."
    tried = rollout_with(found)
    if tried is not None:
        text, label = "Everybody gets the present version again within a second.", _label(tried)
        return f"Stop the {label} of {found}?", text, f"{found.name} is archived. Its {label} cannot be resumed. {harm}"
    undone = "If it did no harm, you can undo this until something else is deployed."
    return (
        f"Roll back {found}?",
        "Everybody gets the previous version again within a second.",
        f"{found.name} is archived. {undone} {harm}",
    )


def _label(rollout: Deployment) -> str:
    return "trial" if rollout.strategy == TRIAL else STRATEGIES[rollout.strategy].label


@dashboard_view
def undo(request: HttpRequest, version: int) -> HttpResponse:
    """Ask for confirmation and a reason, then deploy a version again whose rollback was no harm."""
    require(request, ROLLBACK_VERSION)
    incident = incident_of(version_get(version))
    if request.method == "POST":

        def act() -> str:
            made = rollback_undo(
                incident=incident, actor=request.user.get_username(), reason=request.POST.get("reason", "")
            )
            return f"{made.version} is deployed again to everybody except the holdback."

        return done(request, act)
    question = Question(
        f"Undo the rollback of {incident.version}?",
        "Everybody except the holdback gets this version again. "
        "Your reason is stored with the deployment, and its digest in the Trust Vault.",
        "Deploy again",
        reason="plain",
    )
    return confirm(request, question, check=lambda: undo_check(incident))
