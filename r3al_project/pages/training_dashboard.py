"""Training dashboard: live health, training and versions, with the platform's guarantees. It also fits a phone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from core.errors import InputError, R3alError
from deployments.selectors.rollouts import rollouts_watched
from deployments.selectors.slots import slots_in_use
from loops.engine.spec import DEPLOY_MODES
from loops.selectors import DEFAULT_LOOP, loop_version_current, loop_versions_current
from r3al_project.pages.apprentice_cards import apprentice_cards
from r3al_project.pages.front_page import release_context, turn_rows
from r3al_project.pages.health_cards import health_card
from r3al_project.pages.incident_cards import incident_cards
from r3al_project.pages.operator_views import Question, confirm, dashboard_view, done, require
from r3al_project.pages.rollout_cards import rollout_cards
from r3al_project.pages.shadow_cards import shadow_cards
from r3al_project.pages.trial_cards import trial_cards
from r3al_project.pages.version_rows import version_rows
from r3al_project.pages.waiting_cards import waiting_cards
from r3al_project.permissions import CANCEL_JOB, DEPLOY_VERSION, ROLLBACK_VERSION, START_TURN
from r3al_project.turns.limits import DEFAULT_EPSILON, FEWEST_STATES, MOST_EPOCHS, MOST_STATES
from r3al_project.turns.selectors import turn_get
from r3al_project.turns.services import cancel_check, turn_cancel, turn_parameters, turn_start


def _state() -> dict[str, Any]:
    """Return the template context of the live part, in a bounded number of queries. It holds no data about a person."""
    slots = list(slots_in_use().select_related("loop", "stable", "candidate", "holdback").order_by("loop__name", "id"))
    rows = turn_rows()
    running = [row for row in rows if row["turn"].outcome == "running"]
    rollouts = rollouts_watched()
    in_slot = {rollout.slot_id: rollout for rollout in rollouts}
    watched = [slot for slot in slots if slot.stable.is_learned or slot.candidate is not None]
    health = [health_card(slot, in_slot.get(slot.pk)) for slot in watched]
    return {
        "headline": _headline(health, running),
        "turns": running,
        "last": rows[:1],
        "slots": health,
        "incidents": incident_cards(),
        "versions": version_rows(slots),
        "waiting": waiting_cards(),
        "trials": trial_cards(),
        "shadows": shadow_cards(),
        "apprentices": apprentice_cards(),
        "rollouts": rollout_cards(rollouts),
        "timelines": slots,
    } | release_context()


def _headline(slots: list[dict[str, Any]], running: list[dict[str, Any]]) -> str:
    """Return one sentence about health and one about training. Screen readers announce only this part when it changes."""
    health = "; ".join(_health_words(row) for row in slots)
    turns = ", ".join(f"{row['turn'].loop_version.loop.name} (turn {row['turn'].pk})" for row in running)
    training = f"Training now: {turns}." if turns else "No turn is running."
    return f"{health}. {training}" if health else f"No learned version is deployed yet. {training}"


def _health_words(row: dict[str, Any]) -> str:
    slot, tried = row["slot"], ""
    if row["tried"]:
        tried = f"{row['version'].name} {row['tried'].removesuffix(' for half of the people')}, "
    return f"{slot.loop.name} / {slot.head}: {tried}{row['chip']['words']}"


@dashboard_view
def dashboard_page(request: HttpRequest) -> HttpResponse:
    """Show the whole page."""
    return _page(request, {})


def _page(request: HttpRequest, given: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
    """Render the page, with the values that were sent still in the form."""
    shown = _state() | _form(given) | {"title": "Training dashboard", "may": _may(request)}
    return render(request, "training/dashboard.html", admin.site.each_context(request) | shown, status=status)


@dashboard_view
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
        "deploy": "",
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
        "modes": DEPLOY_MODES,
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


@dashboard_view
def start_training(request: HttpRequest) -> HttpResponse:
    """Start a turn (POST)."""
    require(request, START_TURN)

    def act() -> str:
        given = request.POST
        requested = {
            "epochs": _whole(given, "epochs", 1, MOST_EPOCHS),
            "syntheticSamples": _whole(given, "syntheticSamples", FEWEST_STATES, MOST_STATES),
        }
        version = loop_version_current(given.get("loop", ""))
        head = _head_of(given.get("modelType", ""), version.loop.name)
        parameters = turn_parameters(
            epsilon=_number(given, "epsilon"), head=head, requested=requested, deploy=given.get("deploy") or None
        )
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


@dashboard_view
def cancel(request: HttpRequest, turn: int) -> HttpResponse:
    """Ask for confirmation, then cancel a running turn at its current stage."""
    require(request, CANCEL_JOB)
    if request.method == "POST":
        return done(request, lambda: str(turn_cancel(turn=turn_get(turn), actor=request.user.get_username())))
    found = turn_get(turn)
    question = Question(
        f"Cancel {found}?",
        "The current stage stops and writes nothing. Results of earlier stages stay. "
        "People who were charged for a release stay charged.",
        "Cancel the turn",
    )
    return confirm(request, question, check=lambda: cancel_check(found))


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
