"""Show and cancel jobs. A job that belongs to a turn is shown and cancelled together with the whole turn."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Conflict
from jobs.selectors import job_get
from jobs.services import job_cancel
from r3al_project.api.answers.jobs import JobAnswer, job_answer
from r3al_project.api.http.api_view import ApiView
from r3al_project.api.http.idempotency import idempotent
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import EmptyBody, read_body
from r3al_project.permissions import CANCEL_JOB, VIEW_JOBS
from r3al_project.turns.services import turn_cancel


class JobView(ApiView):
    """Show the state and progress of a job, or of the turn that it belongs to."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_JOBS}

    @extend_schema(responses={200: JobAnswer})
    def get(self, request: Request, job: int) -> Response:
        return Response(job_answer(job_get(job_id=job)))


class JobCancelView(ApiView):
    """Cancel a job, or the turn that it belongs to. Its current stage writes nothing. Answers 409 when it is over."""

    permission_classes = (HasPermission,)
    may = {"POST": CANCEL_JOB}

    @extend_schema(request=None, responses={202: JobAnswer})
    @idempotent
    def post(self, request: Request, job: int) -> Response:
        read_body(EmptyBody, request)
        found = job_get(job_id=job)
        actor = request.user.get_username()
        stage = getattr(found, "turn_stage", None)
        if stage is not None:
            turn_cancel(turn=stage.turn, actor=actor)
        elif not job_cancel(job_id=job, actor=actor):
            raise Conflict(f"{found} is over ({found.get_state_display()}); there is nothing to cancel")
        return Response(job_answer(job_get(job_id=job)), status=202)
