"""List requests that wait for a second operator, and approve or decline one."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from privacy.selectors.approvals import APPROVAL_STATES, approval_get, approvals_all, approvals_in
from privacy.services.approvals.accounts import operator_of
from privacy.services.approvals.decide import LONGEST_DECISION, approval_approve, approval_decline
from r3al_project.api.answers.approvals import ApprovalAnswer, ApprovalsAnswer, approval_answer
from r3al_project.api.answers.shape import page_answer
from r3al_project.api.http.api_view import ApiView
from r3al_project.api.http.idempotency import idempotent
from r3al_project.api.http.pagination import PageQuery, page_of_table
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import LoopField, OneOfField, StrictBody, TextField, read_body
from r3al_project.permissions import DECIDE_APPROVAL, VIEW_APPROVALS


class ApprovalListQuery(PageQuery):
    loop = LoopField(required=False, allow_blank=True)
    state = OneOfField(choices=APPROVAL_STATES, required=False, allow_blank=True)


class ApprovalsView(ApiView):
    """List requests for a second operator, newest first."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_APPROVALS}
    queries = {"GET": ApprovalListQuery}

    @extend_schema(operation_id="v1_approvals_list", parameters=[ApprovalListQuery], responses={200: ApprovalsAnswer})
    def get(self, request: Request) -> Response:
        found = approvals_in(self.query["state"]) if self.query.get("state") else approvals_all()
        if self.query.get("loop"):
            found = found.filter(loop__name=self.query["loop"])
        page = page_of_table(request, self.query, found)
        return Response(page_answer(page.next, [approval_answer(approval) for approval in page.entries]))


class ApprovalView(ApiView):
    """Show one request: what would be done, who asked for it and why, and what became of it."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_APPROVALS}

    @extend_schema(responses={200: ApprovalAnswer})
    def get(self, request: Request, approval: int) -> Response:
        return Response(approval_answer(approval_get(approval)))


class ApproveBody(StrictBody):
    reason = TextField(required=False, max_length=LONGEST_DECISION, help_text="Stored permanently.")


class ApprovalApproveView(ApiView):
    """Approve a request of another operator, and do what it asks for in the same transaction.

    Approving again what you approved changes nothing. 409 says that the request is decided, expired or no longer applies.
    """

    permission_classes = (HasPermission,)
    may = {"POST": DECIDE_APPROVAL}

    @extend_schema(request=ApproveBody, responses={200: ApprovalAnswer})
    def post(self, request: Request, approval: int) -> Response:
        given = read_body(ApproveBody, request)
        done = approval_approve(number=approval, by=operator_of(request.user), reason=given.get("reason", ""))
        return Response(approval_answer(done))


class DeclineBody(StrictBody):
    reason = TextField(max_length=LONGEST_DECISION, help_text="Stored permanently.")


class ApprovalDeclineView(ApiView):
    """Decline a request. Nothing is done. Whoever asked for it may decline it, too."""

    permission_classes = (HasPermission,)
    may = {"POST": DECIDE_APPROVAL}

    @extend_schema(request=DeclineBody, responses={200: ApprovalAnswer})
    @idempotent
    def post(self, request: Request, approval: int) -> Response:
        reason = read_body(DeclineBody, request)["reason"]
        return Response(approval_answer(approval_decline(number=approval, by=operator_of(request.user), reason=reason)))
