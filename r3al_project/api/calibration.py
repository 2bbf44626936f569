"""Compare what gates promised with what people then lived."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from r3al_project.api.answers.calibration import CalibrationAnswer, calibration_answer
from r3al_project.api.http.api_view import ApiView
from r3al_project.api.http.pagination import Pages
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import StrictBody, TextField, WholeField
from r3al_project.permissions import VIEW_VERSIONS
from training.selectors.calibration import calibration_of


class CalibrationQuery(StrictBody):
    loop = TextField(required=False, allow_blank=True, help_text="Default: all loops.")
    page = WholeField(required=False, min_value=1)
    pageSize = WholeField(required=False, min_value=1, max_value=Pages.max_page_size)


class CalibrationView(ApiView):
    """Show the gates' intervals of every version beside what was lived, newest version first, and how often gates were right."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS}
    queries = {"GET": CalibrationQuery}

    @extend_schema(parameters=[CalibrationQuery], responses={200: CalibrationAnswer})
    def get(self, request: Request) -> Response:
        table, pages = calibration_of(self.query.get("loop")), Pages()
        page = pages.paginate_queryset(table.rows, request, view=self) or []
        return Response(calibration_answer(pages, page, table))
