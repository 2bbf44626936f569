"""Jobs: how far a piece of work is, and cancelling it. A job that belongs to a turn tells of the whole turn."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Conflict
from jobs.models import OPEN_STATES, Job
from jobs.selectors import job_get
from jobs.services import job_cancel
from r3al_project.api.answers import JobAnswer
from r3al_project.api.http.idempotency import idempotent
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import EmptyBody, read_body
from r3al_project.turns.models import Turn
from r3al_project.turns.services import turn_cancel
from r3al_project.turns.stages import STAGES, stage_sentence, versions_trained


class JobView(APIView):
    """State and progress."""

    permission_classes = (HasPermission,)
    may = {"GET": "jobs.view_job"}

    @extend_schema(responses={200: JobAnswer})
    def get(self, request: Request, job: int) -> Response:
        return Response(job_told(job_get(job_id=job)))


class JobCancelView(APIView):
    """Ask the work to end: nothing of the stage at hand is written, and the turn ends with it. 409 when it is over."""

    permission_classes = (HasPermission,)
    may = {"POST": "jobs.cancel_job"}

    @extend_schema(request=None, responses={202: JobAnswer})
    @idempotent
    def post(self, request: Request, job: int) -> Response:
        read_body(EmptyBody, request)
        found = job_get(job_id=job)
        stage = getattr(found, "turn_stage", None)
        if stage is not None:
            turn_cancel(turn=stage.turn)
        elif not job_cancel(job_id=job):
            raise Conflict(f"{found} is over ({found.get_state_display()}); there is nothing to cancel")
        return Response(job_told(job_get(job_id=job)), status=202)


def job_told(job: Job) -> dict[str, Any]:
    """A job as the API tells of it."""
    stage = getattr(job, "turn_stage", None)
    if stage is not None:
        return {"jobId": job.pk, "kind": "turn"} | turn_told(stage.turn)
    return {
        "jobId": job.pk, "kind": job.kind, "status": job.state, "cancelRequested": job.cancel_requested,
        "progress": job.progress, "message": job.message, "error": job.error or None, "createdAt": job.created_at,
        "finishedAt": job.finished_at,
    }  # fmt: skip


def turn_told(turn: Turn) -> dict[str, Any]:
    """A turn with its stages; progress over all of them."""
    stages = list(turn.stages.select_related("job").order_by("id"))
    done = sum(s.job.state == "done" for s in stages)
    current = next((s.job for s in stages if s.job.state in OPEN_STATES), None)
    status = {"running": current.state if current else "running", "failed": "failed"}.get(turn.outcome, "done")
    return {
        "turnId": turn.pk,
        "status": status,
        "cancelRequested": any(s.job.cancel_requested for s in stages),
        "outcome": turn.outcome,
        "reason": turn.reason or None,
        "progress": (done + (current.progress if current else 0.0)) / len(STAGES),
        "stage": stages[-1].name if stages else None,
        "message": current.message if current else "",
        "stages": [
            {"name": s.name, "status": s.job.state, "seconds": s.seconds, "did": stage_sentence(s.name, s.summary)}
            for s in stages
        ],
        "versions": versions_trained(stages),
        "createdAt": turn.created_at,
        "finishedAt": turn.finished_at,
    }
