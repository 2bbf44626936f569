"""Define acts on rollouts: who moved one to another stage, paused it or let it go on, and why."""

from __future__ import annotations

from django.db import models

from core.model_base import Created
from deployments.models.slot import Deployment


class RolloutAct(Created):
    """Store one change of a rollout that is in progress, by a tick or by an operator.

    Its start is the deployment itself, a promotion is a deployment of its own, and a stop is an incident.
    """

    class Act(models.TextChoices):
        ADVANCE = "advance", "next stage"
        ASK = "ask", "asks for approval"
        EXTEND = "extend", "extended"
        PAUSE = "pause", "paused"
        RESUME = "resume", "resumed"

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="acts")
    act = models.CharField(max_length=10, choices=Act.choices)
    stage = models.PositiveSmallIntegerField(help_text="After the act; 0 for the first.")
    share_bp = models.PositiveIntegerField(
        help_text="The candidate's share of the people after the act, in basis points."
    )
    actor = models.CharField(max_length=150, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        db_table = "rollout_acts"
        indexes = [models.Index(fields=["deployment", "-id"])]

    def __str__(self) -> str:
        return f"{self.deployment_id}: {self.act}"
