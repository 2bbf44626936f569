"""Define A/B experiments (table ``ab_experiments``)."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from core.model_base import Created
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models.slot import Deployment
from training.models import ModelVersion


class AbExperiment(Created):
    """Store a comparison of two versions under one deployment, with the settings declared before it started."""

    class State(models.TextChoices):
        RUNNING = "running", "running"
        PROMOTED = "promoted", "promoted"
        KEPT = "kept", "control kept"
        STOPPED = "stopped", "stopped"

    deployment = models.OneToOneField(Deployment, on_delete=models.PROTECT, related_name="experiment")
    control = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    treatment = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    split_bp = models.PositiveIntegerField(default=5_000)
    alpha = models.FloatField(default=0.05)
    minimum_per_arm = models.PositiveIntegerField(default=100)
    ends_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    result = models.JSONField(default=dict)

    class Meta:
        db_table = "ab_experiments"
        constraints = [
            models.CheckConstraint(condition=~Q(control=F("treatment")), name="experiment_arms_differ"),
            models.CheckConstraint(
                condition=Q(split_bp__gt=0, split_bp__lt=BASIS_POINTS), name="experiment_split_in_range"
            ),
            models.CheckConstraint(condition=Q(alpha__gt=0, alpha__lt=1), name="experiment_alpha_in_range"),
        ]

    def __str__(self) -> str:
        return f"experiment {self.pk}"
