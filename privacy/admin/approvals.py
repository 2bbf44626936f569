"""Admin page of requests for a second operator. They are decided on the training dashboard, and by nobody here."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from core.admin_base import ReadOnlyAdmin, display
from core.html_format import html_facts
from privacy.models import Approval
from privacy.selectors.approvals import state_of_approval

APPROVAL_LABELS = {"waiting": "warning", "expired": "info", "approved": "success", "declined": "danger"}


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "loop", "act", "show_state", "asked_by", "decided_by", "created_at")
    list_filter = ("state", "act", "loop")
    list_select_related = ("loop",)
    search_fields = ("words", "asked_by", "decided_by")
    fields = ("loop", "act", "words", "show_parameters", "show_seen", "reason", "asked_by", "created_at", "expires_at",
              "show_state", "decided_by", "decided_at", "decision", "made")  # fmt: skip
    readonly_fields = fields

    @display(description="state", ordering="state", label=APPROVAL_LABELS)
    def show_state(self, approval: Approval) -> str:
        return state_of_approval(approval)

    @display(description="frozen parameters")
    def show_parameters(self, approval: Approval) -> SafeString:
        return html_facts(approval.parameters)

    @display(description="asked for in this state")
    def show_seen(self, approval: Approval) -> SafeString:
        return html_facts(approval.seen)
