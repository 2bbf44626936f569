"""Requests of one operator that wait for a second one, and what became of them."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from core.model_base import Created
from loops.engine.spec import GUARDED_ACTS
from loops.models import Loop

DECIDE_APPROVAL = "privacy.decide_approval"
VIEW_APPROVALS = "privacy.view_approval"
DECLARATION = "declaration"  # publishing a loop file that asks for a second operator less often


def _acts() -> list[tuple[str, str]]:
    return [(act, act) for act in (*GUARDED_ACTS, DECLARATION)]


class ApprovalState(models.TextChoices):
    WAITING = "waiting", "waits for a second operator"
    APPROVED = "approved", "approved"
    DECLINED = "declined", "declined"


class Approval(Created):
    """Store an act that one operator asked for, and that is done once another one approves it.

    ``door`` names the service that does it with the frozen ``parameters``. ``seen`` is the state in which it was asked for: in
    another state it is not done. Accounts are numbers and no references, so that they stay when an account is deleted.
    """

    loop = models.ForeignKey(Loop, on_delete=models.PROTECT, related_name="approvals")
    act = models.CharField(max_length=20, choices=_acts)
    door = models.CharField(max_length=20)
    words = models.TextField(help_text="What would be done, in the platform's words.")
    parameters = models.JSONField(default=dict)
    seen = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    asked_by = models.CharField(max_length=150)
    asked_by_account = models.PositiveBigIntegerField()
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=ApprovalState.choices, default=ApprovalState.WAITING)
    decided_by = models.CharField(max_length=150, blank=True)
    decided_by_account = models.PositiveBigIntegerField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision = models.TextField(blank=True, help_text="Why it was approved or declined.")
    made = models.CharField(max_length=80, blank=True, help_text="The record that the approved act wrote.")

    class Meta:
        db_table = "approvals"
        permissions = [
            ("decide_approval", "Can approve or decline, as the second operator, what another one asked for")
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ApprovalState.values), name="approval_state_known"),
            models.CheckConstraint(
                condition=Q(state=ApprovalState.WAITING, decided_by_account__isnull=True, decided_at__isnull=True)
                | ~Q(state=ApprovalState.WAITING) & Q(decided_by_account__isnull=False, decided_at__isnull=False),
                name="approval_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(state=ApprovalState.APPROVED) | ~Q(decided_by_account=F("asked_by_account")),
                name="approval_by_another",
            ),
        ]
        indexes = [models.Index(fields=["loop", "-id"], condition=Q(state="waiting"), name="approvals_waiting")]

    def __str__(self) -> str:
        return f"request {self.pk}"
