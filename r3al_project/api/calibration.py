"""Compare what gates promised with what people then lived."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from r3al_project.api.answers.calibration import CalibrationAnswer, calibration_answer
from r3al_project.api.http.api_view import ApiView
from r3al_project.api.http.pagination import PageQuery, page_of_rows
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import LoopField
from r3al_project.permissions import VIEW_VERSIONS
from training.selectors.calibration import calibration_of


class CalibrationQuery(PageQuery):
    loop = LoopField(required=False, allow_blank=True, help_text="Default: all loops.")


class CalibrationView(ApiView):
    """Show the gates' intervals of every version beside what was lived, newest version first, and how often gates were right."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS}
    queries = {"GET": CalibrationQuery}

    @extend_schema(parameters=[CalibrationQuery], responses={200: CalibrationAnswer})
    def get(self, request: Request) -> Response:
        table = calibration_of(self.query.get("loop"))
        page = page_of_rows(request, self.query, table.rows, lambda row: row.version.pk)
        return Response(calibration_answer(page.next, page.entries, table))
