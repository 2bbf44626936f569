"""The admin's front page: what serves, what waits, what runs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from deployments.models import ServingSlot
from r3al_project.jobs.models import Job
from r3al_project.turns.models import Turn
from r3al_project.turns.services import STAGES
from training.models import ModelVersion, VersionKind

_VERSIONS = 8


def front_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's dashboard callback: adds what the template shows."""
    return context | page_state()


def front_page_fragment(request: HttpRequest) -> HttpResponse:
    """The live part of the front page, fetched every two seconds."""
    return render(request, "admin/front_page.html", page_state())


def page_state() -> dict[str, Any]:
    """Slots, latest versions, the latest turn with its stages, and running jobs; nothing about a person."""
    slots = ServingSlot.objects.select_related("loop", "stable__loop_version__loop", "candidate").order_by(
        "loop", "head"
    )
    learned = ModelVersion.objects.filter(kind=VersionKind.LINEAR_Q).select_related("loop_version__loop")
    turn = Turn.objects.select_related("loop_version__loop").order_by("-id").first()
    return {
        "slots": slots,
        "versions": [_version_row(v) for v in learned.prefetch_related("verdicts").order_by("-id")[:_VERSIONS]],
        "turn": turn,
        "stages": _stage_rows(turn) if turn else [],
        "jobs": Job.objects.filter(state="running").order_by("started_at"),
    }


def _version_row(version: ModelVersion) -> dict[str, Any]:
    verdicts = sorted(version.verdicts.all(), key=lambda v: v.attempt)
    return {"version": version, "verdict": verdicts[-1] if verdicts else None}


def _stage_rows(turn: Turn) -> list[dict[str, Any]]:
    """Every stage of the turn in order, those not begun included."""
    begun = {s.name: s for s in turn.stages.select_related("job")}
    rows = []
    for name in STAGES:
        stage = begun.get(name)
        job = stage.job if stage else None
        state = job.state if job else "waiting"
        percent = 100 if state == "done" else round(100 * (job.progress if job else 0.0))
        rows.append(
            {"name": name, "state": state, "percent": percent, "message": job.message if job else "",
             "seconds": stage.seconds if stage else None}
        )  # fmt: skip
    return rows
