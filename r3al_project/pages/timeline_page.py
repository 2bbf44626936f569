"""The timeline of a slot: which version served when, why, and by whom, newest first."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from core.errors import NotFound
from core.sentences import sentence
from deployments.engine.rollouts.strategies import AB_TEST, APPRENTICE, BESIDE, FULL_ROLLOUT, STRATEGIES, TRIAL
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, Incident, RolloutAct, ServingSlot
from deployments.selectors.timeline import TimelineEntry, timeline_of
from deployments.services.rollouts.operate import TICK
from r3al_project.pages.front_page import chip_of
from r3al_project.pages.operator_views import dashboard_view
from r3al_project.turns.rollout_progress import share_text
from training.models import ModelVersion

_PROGRAMS = (TICK, "health check")
_LARGEST_ID = 2**63 - 1


@dashboard_view
def timeline_page(request: HttpRequest, slot: int) -> HttpResponse:
    """Show one page of a slot's timeline."""
    slots = ServingSlot.objects.select_related("loop", "stable__loop_version__loop", "candidate__loop_version__loop")
    found = slots.filter(pk=slot).first() if slot <= _LARGEST_ID else None
    if found is None:
        raise NotFound(f"there is no slot {str(slot)[:20]}; the dashboard links the timeline of each slot")
    page = timeline_of(found, request.GET.get("before", ""))
    shown = {
        "title": f"Timeline of {found.loop.name} / {found.head}",
        "slot": found,
        "now": _now(found),
        "entries": [_entry(entry) for entry in page.entries],
        "older": page.older,
        "is_later_page": bool(request.GET.get("before")),
    }
    return render(request, "training/timeline.html", admin.site.each_context(request) | shown)


def _now(slot: ServingSlot) -> str:
    now = f"Deployed now: {_name(slot.stable)}."
    if slot.candidate is None or not slot.weight_bp:
        return now
    return f"{now} {share_text(slot.weight_bp / BASIS_POINTS)} of people have {slot.candidate.name} instead."


def _name(version: ModelVersion | None) -> str:
    if version is None:
        return "nothing"
    return version.name if version.is_learned else "the reference"


def _entry(entry: TimelineEntry) -> dict[str, Any]:
    chip, text = _WORDS[entry.kind](entry.row)
    actor = entry.row.actor if entry.kind != "end" else ""
    by = "by itself" if actor in _PROGRAMS or getattr(entry.row, "automatic", False) else f"by {actor}" if actor else ""
    return {
        "at": entry.at,
        "chip": chip,
        "text": text,
        "why": "" if _says_itself(entry) else sentence(entry.row.reason),
        "by": by,
    }


def _says_itself(entry: TimelineEntry) -> bool:
    return entry.kind == "act" and entry.row.act == RolloutAct.Act.ASK


def _deployment_words(row: Deployment) -> tuple[dict[str, str], str]:
    name = _name(row.version)
    if row.rollback_of is not None:
        back = chip_of("deployed", "returned")
        return back, f"Everybody has {name} again, because {_name(row.rollback_of.version)} was taken back."
    if row.strategy == FULL_ROLLOUT:
        return chip_of(
            "deployed", "deployed"
        ), f"Everybody except the holdback has {name}, in place of {_name(row.previous)}."
    begun = chip_of("running", "begun")
    if row.strategy == TRIAL:
        return (
            begun,
            f"The trial of {name} begins: half of the people have it, and the others keep {_name(row.previous)}.",
        )
    share = int(row.frozen_policy.get("share_bp", 0)) / BASIS_POINTS
    of = f"The {_label(row)} of {name} begins"
    if row.strategy == APPRENTICE:
        return (
            begun,
            f"{of}: the app's own choices are served where it sends them, and otherwise those of {_name(row.previous)}.",
        )
    who = f"{share_text(share)} of people have it" if share else "nobody gets its actions"
    return begun, f"{of}: {who}, and the others keep {_name(row.previous)}."


def _label(row: Deployment) -> str:
    return "trial" if row.strategy == TRIAL else STRATEGIES[row.strategy].label


def _act_words(row: RolloutAct) -> tuple[dict[str, str], str]:
    rollout, share = row.deployment, share_text(row.share_bp / BASIS_POINTS)
    of = f"The {_label(rollout)} of {rollout.version.name}"
    if row.act == RolloutAct.Act.ADVANCE:
        return chip_of("running", "next stage"), f"{of} is in stage {row.stage + 1}: {share} of people have it."
    if row.act == RolloutAct.Act.PAUSE:
        return chip_of("cancelled", "paused"), f"{of} is paused: everybody has the present version."
    if row.act == RolloutAct.Act.RESUME:
        goes_on = (
            "its time starts over"
            if rollout.strategy in BESIDE
            else f"{share} of people have it, and its stage starts over"
        )
        return chip_of("running", "resumed"), f"{of} goes on: {goes_on}."
    if row.act == RolloutAct.Act.ASK:
        return chip_of("waiting", "waits"), f"{of} waits for an operator's approval."
    stage = "" if rollout.strategy in (*BESIDE, AB_TEST) else f" for stage {row.stage + 1}"
    return chip_of("insufficient", "extended"), f"{of} gets more time{stage}."


def _end_words(row: Deployment) -> tuple[dict[str, str], str]:
    return chip_of("cancelled", "ended"), f"The {_label(row)} of {row.version.name} ended: {row.get_state_display()}."


def _incident_words(row: Incident) -> tuple[dict[str, str], str]:
    harm = " for harm" if row.harmful else ""
    is_taken_back = row.harmful or row.deployment.strategy == FULL_ROLLOUT
    chip = chip_of("failed" if row.harmful else "cancelled", "taken back" if is_taken_back else "stopped")
    if row.deployment.strategy != FULL_ROLLOUT:
        return (
            chip,
            f"The {_label(row.deployment)} of {row.version.name} was stopped{harm}: everybody has the present version.",
        )
    return chip, f"{row.version.name} was taken back{harm}."


_WORDS: dict[str, Any] = {
    "deployment": _deployment_words, "act": _act_words, "end": _end_words, "incident": _incident_words,
}  # fmt: skip
