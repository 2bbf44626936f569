"""Anonymise records, show the log of releases, and show budgets as counts of people."""

from __future__ import annotations

import io
import uuid
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Conflict, NotFound
from jobs.models import JobState
from loops.selectors import DEFAULT_LOOP, loop_version_current
from privacy.engine.anonymize.registry import own_parameters, technique_modes, technique_names
from privacy.engine.anonymize.request import DEFAULT_MODE, MOST_ROWS, MOST_SAMPLES, AnonymizeRequest, Parameter
from privacy.engine.data_types import DATA_TYPES
from privacy.models import Approval, Release
from privacy.selectors.budgets import budgets_overview
from privacy.services.anonymize.export_tables import export_rows_write, holds_statistics
from privacy.services.anonymize.guarded_release import anonymize_or_ask
from privacy.services.anonymize.preview import anonymize_preview
from privacy.services.anonymize.run import anonymize_enqueue
from privacy.services.approvals.accounts import operator_of
from r3al_project.api.answers.approvals import or_waiting, waiting_response
from r3al_project.api.answers.privacy import (
    AnonymizeAccepted,
    AnonymizeAnswer,
    BudgetsAnswer,
    PreviewAnswer,
    ReleaseDetailAnswer,
    ReleasesAnswer,
    anonymize_accepted,
    anonymize_answer,
    budgets_answer,
    preview_answer,
    release_answer,
    release_detail_answer,
    release_url,
)
from r3al_project.api.answers.shape import page_answer
from r3al_project.api.http.api_view import ApiView
from r3al_project.api.http.idempotency import KEY_HEADER, key_check, key_keep, key_of
from r3al_project.api.http.pagination import PageQuery, page_of_table
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import LoopField, NumberField, OneOfField, StrictBody, TextField, WholeField
from r3al_project.api.http.wait_for_job import job_awaited
from r3al_project.permissions import ANONYMIZE_DATA, VIEW_BUDGETS, VIEW_RELEASES

_ROWS_SHOWN, _WAIT_SECONDS = 1_000, 10.0


class AnonymizeBody(StrictBody):
    """An anonymisation to run. Each technique adds its own parameters, and optional fields have defaults."""

    dataType = OneOfField(choices=DATA_TYPES)
    technique = OneOfField(choices=technique_names())
    privacyEpsilon = NumberField(
        default=0.5,
        min_value=0,
        help_text="Above 0, and at most MAX_PRIVACY_EPSILON of the server (1 unless it is set).",
    )
    sampleCount = WholeField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MOST_SAMPLES,
        help_text="How many people to include: an upper limit for rows, an approximate count for statistics.",
    )
    loop = TextField(default=DEFAULT_LOOP)
    delta = NumberField(
        default=1e-6, min_value=0, help_text="At most MAX_PRIVACY_DELTA of the server (1e-5 unless it is set)."
    )
    mode = OneOfField(choices=technique_modes(), default=DEFAULT_MODE)
    fields_ = serializers.ListField(child=TextField(), required=False, source="names")
    rowsPerPerson = WholeField(default=1, min_value=1, max_value=MOST_ROWS)

    def get_fields(self) -> dict[str, Any]:
        found: dict[str, Any] = super().get_fields()
        found |= {p.api_name: _field(p) for p in own_parameters()}
        found["fields"] = found.pop("fields_")  # the serializer has an attribute of that name
        return found


def _field(parameter: Parameter[Any]) -> serializers.Field[Any, Any, Any, Any]:
    optional: dict[str, Any] = {"required": False} if parameter.default is None else {"default": parameter.default}
    if parameter.kind is str:
        return TextField(**optional, **({"allow_blank": True} if parameter.default == "" else {}))
    return (WholeField if parameter.kind is int else NumberField)(**optional)


def _anonymize_request(given: dict[str, Any]) -> AnonymizeRequest:
    names = given.get("names")
    return AnonymizeRequest(
        data_type=given["dataType"], technique=given["technique"], epsilon=given["privacyEpsilon"], delta=given["delta"],
        samples=given.get("sampleCount"), mode=given["mode"], fields=None if names is None else tuple(names),
        rows=given["rowsPerPerson"], options={p.name: given[p.api_name] for p in own_parameters() if p.api_name in given},
    )  # fmt: skip


class AnonymizationsView(ApiView):
    """Anonymise records. People are charged at once and a worker computes the result.

    If the result is ready within ten seconds, the answer is the row of the permanent log with the statistics or the first rows
    (201). Otherwise it names the job and the release to look at later (202). It may also answer with a request (202): where the
    loop asks for a second operator, for more than the default privacy parameters and for rows without a formal guarantee.
    """

    permission_classes = (HasPermission,)
    may = {"POST": ANONYMIZE_DATA}

    @extend_schema(
        request=AnonymizeBody,
        responses={201: AnonymizeAnswer, 202: or_waiting(AnonymizeAccepted)},
        parameters=[KEY_HEADER],
    )
    def post(self, request: Request) -> Response:
        given = _checked(request)
        # The header is part of the release's key, so a retry finds the release and charges nobody again.
        own = key_of(request)
        key = own or str(uuid.uuid4())
        key_check(request, own)
        version = loop_version_current(given["loop"])
        asked: dict[str, Any] = {
            "key": f"api-{request.user.pk}-{key}", "loop_version": version, "request": _anonymize_request(given),
        }  # fmt: skip
        made = anonymize_or_ask(lambda: anonymize_enqueue(**asked), by=operator_of(request.user), **asked)
        if isinstance(made, Approval):
            return waiting_response(made)
        release, job = made
        key_keep(request, own)
        job = job_awaited(job, seconds=_WAIT_SECONDS)
        if not job.is_over:
            accepted = anonymize_accepted(release, job, key)
            return Response(accepted, status=202, headers={"Location": f"/api/v1/jobs/{job.pk}"})
        if job.state != JobState.DONE:
            raise Conflict(job.error or f"{job} was cancelled; send the request again with a new Idempotency-Key")
        release.refresh_from_db()
        done = anonymize_answer(release, job, key, _first_lines(release))
        return Response(done, status=201, headers={"Location": release_url(release)})


def _checked(request: Request) -> dict[str, Any]:
    body = AnonymizeBody(data=request.data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _first_lines(release: Release) -> list[str]:
    """Return the CSV header and the first rows of a release of rows. Empty for statistics."""
    if holds_statistics(release):
        return []
    out = io.StringIO()
    export_rows_write(release=release, out=out)
    return out.getvalue().splitlines()[: 1 + _ROWS_SHOWN]


class PreviewView(ApiView):
    """Compute the cost of an anonymisation and about how many people it would leave out. Nobody is charged."""

    permission_classes = (HasPermission,)
    may = {"POST": ANONYMIZE_DATA}

    @extend_schema(request=AnonymizeBody, responses={200: PreviewAnswer})
    def post(self, request: Request) -> Response:
        given = _checked(request)
        found = anonymize_preview(loop_version=loop_version_current(given["loop"]), request=_anonymize_request(given))
        return Response(preview_answer(found))


class ReleasesQuery(PageQuery):
    technique = OneOfField(choices=technique_names(), required=False, allow_blank=True)
    loop = LoopField(required=False, allow_blank=True)


class ReleasesView(ApiView):
    """List the permanent log of releases, newest first."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_RELEASES}
    queries = {"GET": ReleasesQuery}

    @extend_schema(operation_id="v1_privacy_releases_list", parameters=[ReleasesQuery], responses={200: ReleasesAnswer})
    def get(self, request: Request) -> Response:
        found = Release.objects.select_related("loop_version__loop")
        for name, column in (("technique", "technique"), ("loop", "loop_version__loop__name")):
            if value := self.query.get(name):
                found = found.filter(**{column: value})
        page = page_of_table(request, self.query, found)
        return Response(page_answer(page.next, [release_answer(r) for r in page.entries]))


def _release_get(pk: int) -> Release:
    """Return one release. Raises NotFound."""
    found = Release.objects.select_related("loop_version__loop").filter(pk=pk).first()
    if found is None:
        raise NotFound(f"there is no release {pk}; /api/v1/privacy/releases lists them")
    return found


class ReleaseView(ApiView):
    """Show one row of the log. An anonymisation also has its statistics, or the address of its rows."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_RELEASES}

    @extend_schema(responses={200: ReleaseDetailAnswer})
    def get(self, request: Request, release: int) -> Response:
        return Response(release_detail_answer(_release_get(release)))


class ReleaseRowsView(ApiView):
    """Download the rows of an anonymisation as CSV, until they expire."""

    permission_classes = (HasPermission,)
    may = {"GET": ANONYMIZE_DATA}

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request, release: int) -> HttpResponse:
        out = io.StringIO()
        export_rows_write(release=_release_get(release), out=out)
        name = f'attachment; filename="release-{release}.csv"'
        return HttpResponse(out.getvalue(), content_type="text/csv", headers={"Content-Disposition": name})


class BudgetsView(ApiView):
    """Show how many people have spent how much of their budgets, as rounded counts."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_BUDGETS}

    @extend_schema(responses={200: BudgetsAnswer})
    def get(self, request: Request) -> Response:
        return Response(budgets_answer(budgets_overview()))
