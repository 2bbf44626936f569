"""Pages that roll a version back or stop its trial, and that undo a rollback, each after a confirmation."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from deployments.selectors.slots import incident_of, is_on_trial, serving_after, shadow_test_of
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
        _rollback_button(found),
        warning=warning,
        reason="plain" if shadow_test_of(found) is not None else "harm",
    )
    return confirm(request, question, check=lambda: rollback_check(found))


def _rollback_button(found: ModelVersion) -> str:
    if shadow_test_of(found) is not None:
        return "Stop the shadow test"
    return "Stop the trial" if is_on_trial(found) else "Roll back"


def _rollback_words(found: ModelVersion) -> tuple[str, str, str]:
    """Return title, text and warning of the page that asks before a rollback, or before the end of a trial."""
    harm = (
        "If it caused harm, it is never deployed again, and versions that act like it are not deployed by themselves."
    )
    if shadow_test_of(found) is not None:
        text = "Nobody gets its actions, so nothing changes for anybody."
        return f"Stop the shadow test of {found}?", text, f"{found.name} waits for another rollout."
    if is_on_trial(found):
        text = "Everybody gets the present version again within a second."
        return f"Stop the trial of {found}?", text, f"{found.name} is archived. Its trial cannot be resumed. {harm}"
    undone = "If it did no harm, you can undo this until something else is deployed."
    return (
        f"Roll back {found}?",
        "Everybody gets the previous version again within a second.",
        f"{found.name} is archived. {undone} {harm}",
    )


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
