"""Generate tables of synthetic rows, list synthetic jobs, and show reports and rows."""

from __future__ import annotations

import io
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Conflict
from jobs.models import JobState
from loops.selectors import DEFAULT_LOOP, loop_version_current
from r3al_project.api.answers.shape import page_answer
from r3al_project.api.answers.synthetic import (
    SyntheticAnswer,
    SyntheticPageAnswer,
    synthetic_answer,
    synthetic_url,
)
from r3al_project.api.http.api_view import ApiView
from r3al_project.api.http.idempotency import KEY_HEADER, key_check, key_keep, key_of
from r3al_project.api.http.pagination import PageQuery, page_of_table
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import (
    LoopField,
    NumberField,
    OneOfField,
    StrictBody,
    TextField,
    WholeField,
    read_body,
)
from r3al_project.api.http.wait_for_job import job_awaited
from r3al_project.permissions import SYNTHESIZE_DATA, VIEW_SYNTHETIC
from r3al_project.report_headers import REPORT_HEADERS
from training.engine.generators.registry import GENERATORS, TABLE_GENERATORS
from training.models import SyntheticJob
from training.selectors.synthetic import synthetic_get, synthetic_jobs, synthetic_report, synthetic_rows_write
from training.services.synthetic.requests import (
    DEFAULT_SEED,
    DEFAULT_SOURCE_ROWS,
    DEFAULT_THRESHOLD,
    MOST_SYNTHETIC_ROWS,
    SynthesizeRequest,
    synthesize_enqueue,
)
from training.services.synthetic.sources import FEWEST_SOURCE_ROWS

_WAIT_SECONDS = 10.0


class SynthesizeBody(StrictBody):
    """A table to generate. It uses no privacy budget, because its source is released already."""

    method = OneOfField(choices=tuple(TABLE_GENERATORS))
    sampleCount = WholeField(min_value=1, max_value=MOST_SYNTHETIC_ROWS, help_text="Rows to generate.")
    sourceDataCount = WholeField(
        default=DEFAULT_SOURCE_ROWS, min_value=FEWEST_SOURCE_ROWS, max_value=MOST_SYNTHETIC_ROWS,
        help_text="Rows of the source. Three quarters of them are fitted, and the rest score the result.",
    )  # fmt: skip
    qualityThreshold = NumberField(
        default=DEFAULT_THRESHOLD, min_value=0, max_value=1,
        help_text="If quality, diversity or privacy is below it, no rows are kept.",
    )  # fmt: skip
    loop = TextField(default=DEFAULT_LOOP)
    release = WholeField(
        required=False, min_value=1, help_text="Default: the newest release of the loop that can be used."
    )
    seed = WholeField(
        default=DEFAULT_SEED, min_value=0, help_text="The same request with the same seed is the same job."
    )


class SyntheticQuery(PageQuery):
    method = OneOfField(choices=tuple(GENERATORS), required=False, allow_blank=True)
    loop = LoopField(required=False, allow_blank=True)


class SyntheticJobsView(ApiView):
    """``POST`` generates a table of synthetic rows from a release. ``GET`` lists synthetic jobs, newest first.

    If the table is ready within ten seconds, the answer is the job with its scores (201). Otherwise it names the job to look at
    later (202). Equal requests are one job. Rows that score below ``qualityThreshold`` are not kept.
    """

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_SYNTHETIC, "POST": SYNTHESIZE_DATA}
    queries = {"GET": SyntheticQuery}

    @extend_schema(
        request=SynthesizeBody, responses={201: SyntheticAnswer, 202: SyntheticAnswer}, parameters=[KEY_HEADER]
    )
    def post(self, request: Request) -> Response:
        given = read_body(SynthesizeBody, request)
        own = key_of(request)
        before = key_check(request, own)
        made = synthetic_get(int(before.rpartition("/")[2])) if before else _enqueue(given)
        key_keep(request, own, synthetic_url(made))
        return _answer(made)

    @extend_schema(
        operation_id="v1_training_synthetic_list", parameters=[SyntheticQuery], responses={200: SyntheticPageAnswer}
    )
    def get(self, request: Request) -> Response:
        found = synthetic_jobs()
        for name, column in (("method", "generator"), ("loop", "release__loop_version__loop__name")):
            if value := self.query.get(name):
                found = found.filter(**{column: value})
        page = page_of_table(request, self.query, found)
        return Response(page_answer(page.next, [synthetic_answer(job) for job in page.entries]))


def _enqueue(given: dict[str, Any]) -> SyntheticJob:
    asked = SynthesizeRequest(
        method=given["method"],
        samples=given["sampleCount"],
        source_rows=given["sourceDataCount"],
        threshold=given["qualityThreshold"],
        release=given.get("release"),
        seed=given["seed"],
    )
    return synthesize_enqueue(loop_version=loop_version_current(given["loop"]), request=asked)


def _answer(made: SyntheticJob) -> Response:
    job = made.job
    if job is not None and not job.is_over:
        job = job_awaited(job, seconds=_WAIT_SECONDS)
    if job is not None and not job.is_over:
        answer = synthetic_answer(synthetic_get(made.pk))
        return Response(answer, status=202, headers={"Location": f"/api/v1/jobs/{job.pk}"})
    if job is not None and job.state != JobState.DONE:
        raise Conflict(job.error or f"{job} was cancelled; send the request again with a new Idempotency-Key")
    return Response(synthetic_answer(synthetic_get(made.pk)), status=201, headers={"Location": synthetic_url(made)})


class SyntheticJobView(ApiView):
    """Show one synthetic job with its scores. Cancel it through its job."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_SYNTHETIC}

    @extend_schema(responses={200: SyntheticAnswer})
    def get(self, request: Request, synthetic: int) -> Response:
        return Response(synthetic_answer(synthetic_get(synthetic)))


class SyntheticReportView(ApiView):
    """Show the report on a table: one HTML page, until the rows expire."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_SYNTHETIC}

    @extend_schema(responses={(200, "text/html"): OpenApiTypes.STR})
    def get(self, request: Request, synthetic: int) -> HttpResponse:
        page = synthetic_report(synthetic_get(synthetic))
        return HttpResponse(page, content_type="text/html; charset=utf-8", headers=REPORT_HEADERS)


class SyntheticRowsView(ApiView):
    """Download the rows of a table as CSV, until they expire."""

    permission_classes = (HasPermission,)
    may = {"GET": SYNTHESIZE_DATA}

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, synthetic: int) -> HttpResponse:
        out = io.StringIO()
        synthetic_rows_write(synthetic_get(synthetic), out)
        name = f'attachment; filename="synthetic-{synthetic}.csv"'
        return HttpResponse(out.getvalue(), content_type="text/csv", headers={"Content-Disposition": name})
