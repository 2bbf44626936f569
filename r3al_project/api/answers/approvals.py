"""Build answers about requests that wait for a second operator."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers
from rest_framework.response import Response

from loops.engine.spec import GUARDED_ACTS
from privacy.models import Approval
from privacy.models.approval import DECLARATION
from privacy.selectors.approvals import APPROVAL_STATES, state_of_approval
from r3al_project.api.answers.shape import Answer, PageAnswer, Shape


class ApprovalAnswer(Shape):
    """A request of one operator. Nothing is done before another operator approves it."""

    approvalId = serializers.IntegerField()
    loop = serializers.CharField()
    act = serializers.ChoiceField(
        choices=(*GUARDED_ACTS, DECLARATION), help_text="The kind of act, as the loop file names it."
    )
    summary = serializers.CharField(help_text="What would be done, in a sentence for people.")
    objection = serializers.CharField(allow_null=True, help_text="What speaks against it, if it overrides a gate.")
    parameters = serializers.DictField(help_text="The frozen parameters. Their names depend on what was asked for.")
    state = serializers.ChoiceField(choices=APPROVAL_STATES)
    askedBy = serializers.CharField()
    askedAt = serializers.DateTimeField()
    reason = serializers.CharField(allow_blank=True)
    expiresAt = serializers.DateTimeField(help_text="After this time it is never done.")
    decidedBy = serializers.CharField(allow_null=True)
    decidedAt = serializers.DateTimeField(allow_null=True)
    decisionReason = serializers.CharField(allow_blank=True)
    made = serializers.CharField(
        allow_null=True, help_text="The record that the approved act wrote, such as deployment 12."
    )


def approval_answer(approval: Approval) -> Answer:
    """Build one request."""
    return {
        "approvalId": approval.pk, "loop": approval.loop.name, "act": approval.act, "summary": approval.words,
        "objection": approval.seen.get("objection"), "parameters": approval.parameters, "state": state_of_approval(approval),
        "askedBy": approval.asked_by, "askedAt": approval.created_at, "reason": approval.reason,
        "expiresAt": approval.expires_at, "decidedBy": approval.decided_by or None, "decidedAt": approval.decided_at,
        "decisionReason": approval.decision, "made": approval.made or None,
    }  # fmt: skip


class ApprovalsAnswer(PageAnswer):
    results = ApprovalAnswer(many=True)


def or_waiting(answer: type[Shape]) -> Any:
    """Return the shape of an answer under a status that may also say that the act waits for a second operator."""
    return PolymorphicProxySerializer(
        component_name=f"{answer.__name__}OrApproval",
        serializers=[answer, ApprovalAnswer],
        resource_type_field_name=None,
    )


def waiting_response(approval: Approval) -> Response:
    """Answer that an act was not done and waits for a second operator."""
    return Response(approval_answer(approval), status=202, headers={"Location": f"/api/v1/approvals/{approval.pk}"})
