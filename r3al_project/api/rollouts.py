"""List rollouts and their verdicts; approve, pause, resume, promote, abort and retry one."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Forbidden
from deployments.models import RolloutCheck
from deployments.selectors.rollouts import last_checks, rollout_get, rollouts_all
from deployments.services.rollouts.operate import (
    PROMOTE,
    rollout_abort,
    rollout_approve,
    rollout_pause,
    rollout_resume,
)
from deployments.services.rollouts.slots import LONGEST_REASON
from privacy.models import Approval
from privacy.services.approvals.accounts import operator_of
from r3al_project.api.answers.approvals import ApprovalAnswer, waiting_response
from r3al_project.api.answers.rollouts import (
    ROLLOUT_STATES,
    RolloutAnswer,
    RolloutChecksAnswer,
    RolloutsAnswer,
    rollout_answer,
    rollout_check_answer,
)
from r3al_project.api.answers.shape import page_answer
from r3al_project.api.http.api_view import ApiView
from r3al_project.api.http.idempotency import idempotent
from r3al_project.api.http.pagination import PageQuery, page_of_table
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import FlagField, LoopField, OneOfField, StrictBody, TextField, read_body
from r3al_project.permissions import DEPLOY_VERSION, OVERRIDE_COMPARISON, ROLLBACK_VERSION, VIEW_VERSIONS
from r3al_project.turns.guarded_acts import promote_or_ask, retry_or_ask

MAY_NOT_OVERRIDE = (
    "the evidence does not say yet that this version may go to everybody, and your role may not override that"
)


class RolloutListQuery(PageQuery):
    loop = LoopField(required=False, allow_blank=True)
    state = OneOfField(choices=ROLLOUT_STATES, required=False, allow_blank=True)


class RolloutsView(ApiView):
    """List rollouts, newest first. A deployment to everybody at once is one that is complete."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS}
    queries = {"GET": RolloutListQuery}

    @extend_schema(
        operation_id="v1_training_rollouts_list", parameters=[RolloutListQuery], responses={200: RolloutsAnswer}
    )
    def get(self, request: Request) -> Response:
        found = rollouts_all()
        for name, column in (("loop", "slot__loop__name"), ("state", "state")):
            if self.query.get(name):
                found = found.filter(**{column: self.query[name]})
        page = page_of_table(request, self.query, found)
        checks = last_checks(page.entries)
        return Response(page_answer(page.next, [rollout_answer(r, checks.get(r.pk)) for r in page.entries]))


class RolloutView(ApiView):
    """Show one rollout: its stage, its terms, its last verdict and what it waits for."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS}

    @extend_schema(responses={200: RolloutAnswer})
    def get(self, request: Request, rollout: int) -> Response:
        return _shown(rollout)


class RolloutChecksView(ApiView):
    """List the stored verdicts on a rollout, newest first."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS}
    queries = {"GET": PageQuery}

    @extend_schema(parameters=[PageQuery], responses={200: RolloutChecksAnswer})
    def get(self, request: Request, rollout: int) -> Response:
        found = RolloutCheck.objects.filter(deployment=rollout_get(rollout))
        page = page_of_table(request, self.query, found)
        return Response(page_answer(page.next, [rollout_check_answer(check) for check in page.entries]))


def _shown(rollout: int) -> Response:
    found = rollout_get(rollout)
    return Response(rollout_answer(found, last_checks([found]).get(found.pk)))


class RolloutReasonBody(StrictBody):
    reason = TextField(max_length=LONGEST_REASON, help_text="Stored permanently.")


class RolloutApproveView(ApiView):
    """Give the version the next share of the people, or everybody, as the rollout asks an operator to approve."""

    permission_classes = (HasPermission,)
    may = {"POST": DEPLOY_VERSION}

    @extend_schema(request=RolloutReasonBody, responses={200: RolloutAnswer})
    @idempotent
    def post(self, request: Request, rollout: int) -> Response:
        given = _given(request)
        rollout_approve(rollout=rollout_get(rollout), **given)
        return _shown(rollout)


class RolloutPauseView(ApiView):
    """Give everybody the present version until the rollout is resumed."""

    permission_classes = (HasPermission,)
    may = {"POST": DEPLOY_VERSION}

    @extend_schema(request=RolloutReasonBody, responses={200: RolloutAnswer})
    @idempotent
    def post(self, request: Request, rollout: int) -> Response:
        given = _given(request)
        rollout_pause(rollout=rollout_get(rollout), **given)
        return _shown(rollout)


class RolloutResumeView(ApiView):
    """Give the version its stage's share of the people again. The stage begins anew."""

    permission_classes = (HasPermission,)
    may = {"POST": DEPLOY_VERSION}

    @extend_schema(request=RolloutReasonBody, responses={200: RolloutAnswer})
    @idempotent
    def post(self, request: Request, rollout: int) -> Response:
        given = _given(request)
        rollout_resume(rollout=rollout_get(rollout), **given)
        return _shown(rollout)


class RolloutPromoteView(ApiView):
    """Give the version to everybody now. Before the evidence says so, it is an override that needs a permission of its own.

    Answers 202 with a request where the loop asks for a second operator.
    """

    permission_classes = (HasPermission,)
    may = {"POST": DEPLOY_VERSION}

    @extend_schema(request=RolloutReasonBody, responses={200: RolloutAnswer, 202: ApprovalAnswer})
    @idempotent
    def post(self, request: Request, rollout: int) -> Response:
        reason, found = _given(request)["reason"], rollout_get(rollout)
        override = "" if found.waits_for == PROMOTE else reason
        if override and not request.user.has_perm(OVERRIDE_COMPARISON):
            raise Forbidden(f"{MAY_NOT_OVERRIDE}; ask an administrator for another role")
        done = promote_or_ask(rollout=found, by=operator_of(request.user), reason=reason, override=override)
        return waiting_response(done) if isinstance(done, Approval) else _shown(rollout)


class RolloutAbortBody(RolloutReasonBody):
    harmful = FlagField(default=False, help_text="True: the version caused harm. It is never tried again.")


class RolloutAbortView(ApiView):
    """End a rollout. Everybody keeps the present version, and the version that was tried is archived."""

    permission_classes = (HasPermission,)
    may = {"POST": ROLLBACK_VERSION}

    @extend_schema(request=RolloutAbortBody, responses={200: RolloutAnswer})
    @idempotent
    def post(self, request: Request, rollout: int) -> Response:
        given = read_body(RolloutAbortBody, request)
        rollout_abort(rollout=rollout_get(rollout), actor=request.user.get_username(), **given)
        return _shown(rollout)


class RolloutRetryBody(RolloutReasonBody):
    overrideReason = TextField(
        required=False, max_length=LONGEST_REASON,
        help_text="Reason to try it again although there is an objection. Stored permanently.",
    )  # fmt: skip


class RolloutRetryView(ApiView):
    """Start an aborted rollout again by the same strategy, with people drawn anew and fresh evidence. Answers the new rollout.

    Answers 202 with a request where it needs an override and the loop asks for a second operator.
    """

    permission_classes = (HasPermission,)
    may = {"POST": DEPLOY_VERSION}

    @extend_schema(request=RolloutRetryBody, responses={200: RolloutAnswer, 202: ApprovalAnswer})
    @idempotent
    def post(self, request: Request, rollout: int) -> Response:
        given = read_body(RolloutRetryBody, request)
        override = given.get("overrideReason", "")
        if override and not request.user.has_perm(OVERRIDE_COMPARISON):
            raise Forbidden("your role does not allow overrideReason; ask an administrator for another role")
        again = retry_or_ask(
            rollout=rollout_get(rollout), by=operator_of(request.user), reason=given["reason"], override=override
        )
        return waiting_response(again) if isinstance(again, Approval) else _shown(again.pk)


def _given(request: Request) -> dict[str, Any]:
    """Return the actor and the reason of a request whose body holds no more. Raises ValidationError."""
    return {"actor": request.user.get_username(), "reason": read_body(RolloutReasonBody, request)["reason"]}
