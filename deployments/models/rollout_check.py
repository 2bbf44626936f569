"""Define checks of rollouts: each verdict of a tick with everything that it used."""

from __future__ import annotations

from django.db import models

from core.model_base import Created
from deployments.models.slot import Deployment


class RolloutCheck(Created):
    """Store one verdict on a rollout with the terms and facts that it used, so that it can be computed again.

    The facts are sums over the people of both arms, and no person's own values. A check is stored when a week closes or the
    verdict changes.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="checks")
    generation = models.PositiveIntegerField(help_text="Of the slot, when the check was made.")
    stage = models.PositiveSmallIntegerField()
    closed_weeks = models.PositiveIntegerField(help_text="Whole weeks of the stage of which every outcome is closed.")
    step = models.CharField(max_length=10, help_text="What the verdict says to do.")
    label = models.CharField(max_length=60, blank=True, help_text="What is known of a candidate that is promoted.")
    reasons = models.JSONField(default=list)
    terms = models.JSONField(default=dict)
    facts = models.JSONField(default=dict)
    figures = models.JSONField(default=dict)
    acted = models.BooleanField(default=False, help_text="Whether the tick did what the verdict says.")

    class Meta:
        db_table = "rollout_checks"
        indexes = [models.Index(fields=["deployment", "-id"])]

    def __str__(self) -> str:
        return f"{self.deployment_id}: {self.step}"
