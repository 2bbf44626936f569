"""Training dashboard: live health, training and versions, with the platform's guarantees. It also fits a phone.

An operator confirms each action on a separate page. The action is a POST with its own permission, and its service records it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from core.errors import Conflict, InputError, R3alError
from core.html_format import NOT_ENOUGH_PEOPLE, interval_plot, number_text
from deployments.engine.rollouts.strategies import FULL_ROLLOUT
from deployments.models import HealthCheck, Incident, ServingSlot
from deployments.selectors.slots import incident_of, is_on_trial, serving_after, slots_in_use, trials_now
from deployments.services.rollouts.full_rollout import deploy_check, objections, proposal_of
from deployments.services.rollouts.rollback import rollback_check, rollback_undo, undo_check, version_rollback
from deployments.services.rollouts.slots import HOLDBACK_BP
from deployments.services.rollouts.start import rollout_start
from loops.engine.thresholds import LATENCY_BAR_MS
from loops.selectors import DEFAULT_LOOP, loop_version_current, loop_versions_current
from r3al_project.pages.front_page import SIGNS, estimate, main_first, release_context, turn_rows
from r3al_project.permissions import (
    CANCEL_JOB,
    DEPLOY_VERSION,
    OVERRIDE_COMPARISON,
    ROLLBACK_VERSION,
    START_TURN,
    VIEW_VERSIONS,
)
from r3al_project.turns.limits import DEFAULT_EPSILON, FEWEST_STATES, MOST_EPOCHS, MOST_STATES
from r3al_project.turns.selectors import turn_get
from r3al_project.turns.services import cancel_check, turn_cancel, turn_parameters, turn_start
from training.models import (
    LIVED,
    OUTCOME_GATE,
    VERDICT_WORDS,
    GateVerdict,
    ModelMetric,
    ModelVersion,
    VersionState,
    says_nothing,
)
from training.selectors.versions import version_get

_VERSIONS, _INCIDENTS = 12, 3
_METRIC_WORDS = {
    "empathy": ("Empathy", "each person's mean over interventions", "at least {}"),
    "false_intervention": ("False interventions", "share of each person's interventions", "at most {}"),
    "latency": ("Slow decisions", f"share over {LATENCY_BAR_MS:g} ms", "at most {}"),
    "reward_stability": ("Reward drift", "compared with the previous version", "within ±{}"),
    "answered": ("Answered interventions", "share of each person's interventions", ""),
}
_STATE_SIGNS = {"healthy": "✓", "degraded": "!", "critical": "✕", "unwatched": "○"}
View = Callable[..., HttpResponse]


def _dashboard_view(view: View) -> View:
    """Restrict a view to logged-in operators who may see models. Show expected errors on the dashboard."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, **names: Any) -> HttpResponse:
        try:
            return view(request, **names)
        except R3alError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("training-dashboard"))

    return admin.site.admin_view(permission_required(VIEW_VERSIONS, raise_exception=True)(guarded))


def _state() -> dict[str, Any]:
    """Return the template context of the live part, in a bounded number of queries. It holds no data about a person."""
    slots = list(slots_in_use().select_related("loop", "stable", "holdback").order_by("loop__name", "id"))
    rows = turn_rows()
    running = [row for row in rows if row["turn"].outcome == "running"]
    health = [_slot(slot) for slot in slots if slot.stable.is_learned]
    return {
        "headline": _headline(health, running),
        "turns": running,
        "last": rows[:1],
        "slots": health,
        "incidents": Incident.objects.select_related(
            "slot__loop", "version__loop_version__loop", "deployment"
        ).order_by("-id")[:_INCIDENTS],
        "versions": _versions({slot.stable_id for slot in slots}),
        "trials": trials_now(),
    } | release_context()


def _headline(slots: list[dict[str, Any]], running: list[dict[str, Any]]) -> str:
    """Return one sentence about health and one about training. Screen readers announce only this part when it changes."""
    health = "; ".join(f"{row['slot'].loop.name} / {row['slot'].head}: {row['chip']['words']}" for row in slots)
    turns = ", ".join(f"{row['turn'].loop_version.loop.name} (turn {row['turn'].pk})" for row in running)
    training = f"Training now: {turns}." if turns else "No turn is running."
    return f"{health}. {training}" if health else f"No learned version is deployed yet. {training}"


def _slot(slot: ServingSlot) -> dict[str, Any]:
    check = HealthCheck.objects.filter(slot=slot, version=slot.stable).order_by("-id").first()
    return {
        "slot": slot,
        "check": check,
        "chip": _health_chip(check),
        "metrics": [_metric(m) for m in check.metrics] if check else [],
        "recommendations": check.recommendations if check else [],
        "holdback": _holdback(slot),
        "exploration": f"{slot.exploration_bp / 100:g}%",
    }


def _holdback(slot: ServingSlot) -> str:
    if not slot.holdback_bp:
        return ""
    return f"{slot.holdback_bp / 100:g}% of people{', drawn anew each week' if slot.rotates else ''}"


def _health_chip(check: HealthCheck | None) -> dict[str, str]:
    words = check.status_text if check else "not checked yet"
    state = words if words in _STATE_SIGNS else "unwatched"
    return {"state": state, "sign": _STATE_SIGNS[state], "words": words}


def _metric(stored: dict[str, Any]) -> dict[str, Any]:
    name, unit, limit = _METRIC_WORDS[stored["name"]]
    verdict = {"ok": "pass", "beyond": "fail", "too_few": "insufficient"}[stored["verdict"]]
    words = {"pass": "within limit", "fail": "beyond limit", "insufficient": "not enough data"}[verdict]
    low, high = stored["low"], stored["high"]
    return {
        "name": name,
        "unit": unit,
        "text": _metric_text(stored),
        "requirement": f"Must be {limit.format(number_text(stored['threshold']))}." if limit else "",
        "chip": {"state": verdict, "sign": SIGNS[verdict], "words": words},
        "plot": interval_plot(
            None if says_nothing(stored["name"], low, high) else stored["value"], low, high, stored["threshold"]
        ),
    }


def _metric_text(stored: dict[str, Any]) -> str:
    """Return a metric's estimate and its number of observations, in words."""
    n, needed = stored["n"], stored["minimum_n"]
    noun = "decisions" if stored["name"] == "latency" else "people"
    found = estimate(stored["name"], stored["value"], stored["low"], stored["high"])
    is_enough = n >= needed
    if found == NOT_ENOUGH_PEOPLE:
        return f"Not enough data yet ({n:,}{'' if is_enough else f' of {needed:,}'} {noun})."
    days = ", on their first day only" if stored.get("over") == "first day" else ""
    return f"{found} from {n:,}{'' if is_enough else f' of the needed {needed:,}'} {noun}{days}."


def _versions(deployed: set[int]) -> list[dict[str, Any]]:
    verdicts = Prefetch("verdicts", GateVerdict.objects.order_by("attempt"))
    gates = Prefetch("metrics", ModelMetric.objects.exclude(source=LIVED))
    found = ModelVersion.objects.learned().select_related("loop_version__loop").defer("weights")
    rows = []
    for version in main_first(found.prefetch_related(verdicts, gates).order_by("-id")[:_VERSIONS]):
        verdict = next(reversed(version.verdicts.all()), None)
        answer = verdict.verdict if verdict else "not asked"
        shown = [m for m in version.metrics.all() if m.source == OUTCOME_GATE] or list(version.metrics.all())
        rows.append(
            {
                "version": version,
                "state": {"state": version.state, "sign": SIGNS[version.state], "words": version.get_state_display()},
                "gate": {
                    "state": answer.replace(" ", "-"),
                    "sign": SIGNS[answer],
                    "words": f"gate: {VERDICT_WORDS[answer]}",
                },
                "metrics": [
                    (m.name.replace("_", " "), NOT_ENOUGH_PEOPLE if m.too_few else number_text(m.value))
                    for m in shown[:5]
                ],
                "can_deploy": version.state == VersionState.EVALUATING and answer == "pass",
                "can_roll_back": version.pk in deployed,
            }
        )
    return rows


@_dashboard_view
def dashboard_page(request: HttpRequest) -> HttpResponse:
    """Show the whole page."""
    return _page(request, {})


def _page(request: HttpRequest, given: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
    """Render the page, with the values that were sent still in the form."""
    shown = _state() | _form(given) | {"title": "Training dashboard", "may": _may(request)}
    return render(request, "training/dashboard.html", admin.site.each_context(request) | shown, status=status)


@_dashboard_view
def fragment(request: HttpRequest) -> HttpResponse:
    """Render the live part, which the page fetches every two seconds."""
    return render(request, "training/dashboard_live.html", _state() | {"may": _may(request)})


def _may(request: HttpRequest) -> dict[str, bool]:
    actions = {"deploy": DEPLOY_VERSION, "rollback": ROLLBACK_VERSION, "start": START_TURN, "cancel": CANCEL_JOB}
    return {action: request.user.has_perm(permission) for action, permission in actions.items()}


def _form(given: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {
        "loop": DEFAULT_LOOP,
        "modelType": "",
        "epochs": settings.DEFAULT_EPOCHS,
        "syntheticSamples": settings.DEFAULT_SYNTHETIC_SAMPLES,
        "epsilon": f"{min(DEFAULT_EPSILON, settings.MAX_PRIVACY_EPSILON):g}",
    }
    form = {name: given.get(name, value) for name, value in defaults.items()}
    form["modelType"] = form["modelType"].rpartition("/")[2]
    heads = {version.loop.name: version.spec.head_names for version in loop_versions_current()}
    if form["loop"] not in heads:  # the browser selects the first loop then, so the form uses the heads of that loop
        form["loop"] = next(iter(heads), "")
    return {
        "heads": heads,
        "form": form,
        "largest": f"{settings.MAX_PRIVACY_EPSILON:g}",
    }


def _head_of(choice: str, loop: str) -> str | None:
    """Return the chosen head, None for all. The form sends LOOP/HEAD. Raises InputError for a head of another loop."""
    chosen_loop, _, head = choice.rpartition("/")
    if chosen_loop and chosen_loop != loop:
        raise InputError(
            f"you chose the head {head!r} of loop {chosen_loop!r} and the loop {loop!r}; choose one loop for both"
        )
    return head or None


@_dashboard_view
def start_training(request: HttpRequest) -> HttpResponse:
    """Start a turn (POST)."""
    _require(request, START_TURN)

    def act() -> str:
        given = request.POST
        requested = {
            "epochs": _whole(given, "epochs", 1, MOST_EPOCHS),
            "syntheticSamples": _whole(given, "syntheticSamples", FEWEST_STATES, MOST_STATES),
        }
        version = loop_version_current(given.get("loop", ""))
        head = _head_of(given.get("modelType", ""), version.loop.name)
        parameters = turn_parameters(epsilon=_number(given, "epsilon"), head=head, requested=requested)
        turn = turn_start(loop_version=version, parameters=parameters, actor=request.user.get_username())
        return f"You started {turn} at {turn.created_at:%H:%M} UTC. Its progress is shown below."

    if request.method != "POST":
        return HttpResponseRedirect(reverse("training-dashboard"))
    try:
        messages.success(request, act())
    except R3alError as error:
        messages.error(request, str(error))
        return _page(request, request.POST, status=422)
    return HttpResponseRedirect(reverse("training-dashboard"))


@_dashboard_view
def deploy_version(request: HttpRequest, version: int) -> HttpResponse:
    """Ask for confirmation, then deploy a version."""
    _require(request, DEPLOY_VERSION)

    def act() -> str:
        found, override = version_get(version), request.POST.get("override", "")
        if override:
            _require(request, OVERRIDE_COMPARISON)
        rollout_start(
            strategy=FULL_ROLLOUT,
            version=found,
            actor=request.user.get_username(),
            reason="deployed from the dashboard",
            override=override,
        )
        return f"{found} is deployed to everybody except the holdback, who keep the previous version."

    if request.method == "POST":
        return _done(request, act)
    found = version_get(version)
    proposal = proposal_of(found)
    other = objections(proposal)

    def check() -> None:
        deploy_check(proposal)
        if other and not request.user.has_perm(OVERRIDE_COMPARISON):
            raise Conflict(f"{other}; start a new turn")

    return _confirm(
        request,
        f"Deploy {found}?",
        f"Everybody gets this version at once, except a holdback of {HOLDBACK_BP / 100:g}% of people. The holdback keeps the "
        "version that is deployed now, so that the two can be compared. "
        "If this version is proven harmful, it is rolled back automatically.",
        "Deploy",
        check=check,
        other=other,
    )


@_dashboard_view
def rollback(request: HttpRequest, version: int) -> HttpResponse:
    """Ask for confirmation and a reason, then roll back a deployed version."""
    _require(request, ROLLBACK_VERSION)

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
        return _done(request, act)
    found = version_get(version)
    title, text, warning = _rollback_words(found)
    return _confirm(
        request,
        title,
        f"{text} Your reason is stored with the incident, and its digest in the Trust Vault.",
        "Stop the trial" if is_on_trial(found) else "Roll back",
        warning=warning,
        reason="harm",
        check=lambda: rollback_check(found),
    )


def _rollback_words(found: ModelVersion) -> tuple[str, str, str]:
    """Return title, text and warning of the page that asks before a rollback, or before the end of a trial."""
    harm = (
        "If it caused harm, it is never deployed again, and versions that act like it are not deployed by themselves."
    )
    if is_on_trial(found):
        text = "Everybody gets the present version again within a second."
        return f"Stop the trial of {found}?", text, f"{found.name} is archived. Its trial cannot be resumed. {harm}"
    undone = "If it did no harm, you can undo this until something else is deployed."
    return (
        f"Roll back {found}?",
        "Everybody gets the previous version again within a second.",
        f"{found.name} is archived. {undone} {harm}",
    )


@_dashboard_view
def undo(request: HttpRequest, version: int) -> HttpResponse:
    """Ask for confirmation and a reason, then deploy a version again whose rollback was no harm."""
    _require(request, ROLLBACK_VERSION)
    incident = incident_of(version_get(version))
    if request.method == "POST":

        def act() -> str:
            made = rollback_undo(
                incident=incident, actor=request.user.get_username(), reason=request.POST.get("reason", "")
            )
            return f"{made.version} is deployed again to everybody except the holdback."

        return _done(request, act)
    return _confirm(
        request,
        f"Undo the rollback of {incident.version}?",
        "Everybody except the holdback gets this version again. "
        "Your reason is stored with the deployment, and its digest in the Trust Vault.",
        "Deploy again",
        reason="plain",
        check=lambda: undo_check(incident),
    )


@_dashboard_view
def cancel(request: HttpRequest, turn: int) -> HttpResponse:
    """Ask for confirmation, then cancel a running turn at its current stage."""
    _require(request, CANCEL_JOB)
    if request.method == "POST":
        return _done(request, lambda: str(turn_cancel(turn=turn_get(turn), actor=request.user.get_username())))
    found = turn_get(turn)
    return _confirm(
        request,
        f"Cancel {found}?",
        "The current stage stops and writes nothing. Results of earlier stages stay. "
        "People who were charged for a release stay charged.",
        "Cancel the turn",
        check=lambda: cancel_check(found),
    )


def _require(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied


def _confirm(
    request: HttpRequest,
    title: str,
    text: str,
    button: str,
    *,
    warning: str = "",
    reason: str = "",
    other: str = "",
    check: Callable[[], object] = lambda: None,
) -> HttpResponse:
    """Render the confirmation page of an action.

    Args:
        reason: "plain" to ask for a reason, "harm" to ask also whether the version did harm, or empty.
        other: how the deployed version differs from the one that the gate compared with (empty: it does not). The page then asks
            for the reason of the override.
        check: raises R3alError when the action is not possible now. The page then shows the error and no button.
    """
    shown: dict[str, Any] = {"title": title, "text": text, "button": button, "warning": warning, "reason": reason}
    shown |= {"other": other, "refused": ""}
    try:
        check()
    except R3alError as error:
        shown["refused"] = str(error)
    status = 409 if shown["refused"] else 200
    return render(request, "training/confirm.html", admin.site.each_context(request) | shown, status=status)


def _done(request: HttpRequest, act: Callable[[], str]) -> HttpResponse:
    """Perform an action, show its result as a message, and return to the dashboard."""
    messages.success(request, act())
    return HttpResponseRedirect(reverse("training-dashboard"))


def _whole(given: Any, name: str, low: int, high: int) -> int:
    text = str(given.get(name, "")).strip()
    if not text.isdecimal() or not low <= int(text) <= high:
        raise InputError(f"{name} {text!r} must be a whole number from {low} to {high:,}")
    return int(text)


def _number(given: Any, name: str) -> float:
    try:
        return float(given.get(name, ""))
    except ValueError:
        raise InputError(f"{name} {given.get(name)!r} must be a number") from None
