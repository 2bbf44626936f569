"""What is watched about a serving version: one evidence row a person, latency by the minute, every check, every incident."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from core.model_base import Created
from deployments.models.slot import Deployment, ServingSlot
from loops.models import Loop
from privacy.models import DataKey
from training.models import ModelVersion, version_name


class HealthState(models.TextChoices):
    """By how many metrics are *proven* to be beyond their thresholds: none, one or two, three or more."""

    HEALTHY = "healthy", "healthy"
    DEGRADED = "degraded", "degraded"
    CRITICAL = "critical", "critical"


class EvidenceUnit(models.Model):
    """What one person's closed outcomes say about one version, within a fixed window from their first exposure in an epoch.

    Users are the unit: a person gives one value a metric and epoch. Sums, so that a value is a mean (a share) of the person.
    It hangs on the person's data key: whoever is erased loses both.
    """

    slot = models.ForeignKey(ServingSlot, on_delete=models.CASCADE, related_name="evidence")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="evidence")
    data_key = models.ForeignKey(DataKey, on_delete=models.CASCADE, related_name="evidence")
    epoch = models.PositiveIntegerField(help_text="Counts windows of the deployment; within one a person counts once.")
    first_exposed_at = models.DateTimeField()
    closes_at = models.DateTimeField(help_text="When every outcome of the window is closed.")
    decisions = models.PositiveIntegerField(default=0)
    interventions = models.PositiveIntegerField(default=0)
    rated = models.PositiveIntegerField(default=0, help_text="Interventions with an empathy component.")
    empathy_sum = models.FloatField(default=0.0)
    harmful = models.PositiveIntegerField(default=0)
    rewarded = models.PositiveIntegerField(default=0)
    reward_sum = models.FloatField(default=0.0)

    class Meta:
        db_table = "evidence_units"
        constraints = [
            models.UniqueConstraint(fields=["slot", "version", "data_key", "epoch"], name="evidence_unit_once"),
            models.CheckConstraint(
                condition=Q(interventions__lte=F("decisions"), rated__lte=F("interventions"))
                & Q(harmful__lte=F("interventions"), rewarded__lte=F("decisions")),
                name="evidence_counts_nest",
            ),
        ]
        indexes = [models.Index(fields=["slot", "version", "closes_at"])]

    def __str__(self) -> str:
        return f"evidence of {version_name(self.version_id)}, person {self.data_key_id}"


class LatencyMinute(models.Model):
    """Decisions answered in one minute under one version of the policy head, counted by the web processes; commit included."""

    loop = models.ForeignKey(Loop, on_delete=models.CASCADE, related_name="latencies")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="latencies")
    minute = models.DateTimeField()
    requests = models.PositiveIntegerField(default=0)
    over_200_ms = models.PositiveIntegerField(default=0)
    over_250_ms = models.PositiveIntegerField(default=0)
    total_us = models.PositiveBigIntegerField(default=0)
    slowest_us = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "latency_minutes"
        constraints = [
            models.UniqueConstraint(fields=["loop", "version", "minute"], name="latency_minute_once"),
            models.CheckConstraint(
                condition=Q(over_250_ms__lte=F("over_200_ms"), over_200_ms__lte=F("requests")),
                name="latency_counts_nest",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.requests} decisions at {self.minute:%H:%M}"


TOO_FEW_VERDICT = "too_few"  # a metric's verdict


class HealthCheck(Created):
    """One look at one slot, with all that its verdict used, so that it can be computed again."""

    slot = models.ForeignKey(ServingSlot, on_delete=models.CASCADE, related_name="health_checks")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="health_checks")
    generation = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=HealthState.choices)
    metrics = models.JSONField(help_text="A row a metric: name, value, low, high, threshold, n, minimum n, verdict.")
    triggers = models.JSONField(default=list, help_text="Relative triggers against the holdback, with log evidence.")
    recommendations = models.JSONField(default=list)
    acted = models.BooleanField(default=False, help_text="This look took the version back.")

    class Meta:
        db_table = "health_checks"
        constraints = [models.CheckConstraint(condition=Q(state__in=HealthState.values), name="health_state_known")]
        indexes = [models.Index(fields=["slot", "-id"])]

    def __str__(self) -> str:
        return f"{self.slot_id}: {self.state}"

    @property
    def enough_seen(self) -> bool:
        """Whether any metric could be judged; without one, "healthy" is no praise."""
        return any(m["verdict"] != TOO_FEW_VERDICT for m in self.metrics)

    @property
    def said(self) -> str:
        """The state in words for people: nothing is called healthy of which nothing could be judged."""
        praised = self.state == HealthState.HEALTHY and not self.enough_seen
        return "not enough seen yet" if praised else str(HealthState(self.state).label)


class Incident(Created):
    """A version that was taken back, by the platform or by hand, and why."""

    slot = models.ForeignKey(ServingSlot, on_delete=models.PROTECT, related_name="incidents")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="incidents")
    deployment = models.OneToOneField(Deployment, on_delete=models.PROTECT, related_name="incident")
    check_made = models.ForeignKey(
        HealthCheck, null=True, blank=True, on_delete=models.SET_NULL, related_name="incidents"
    )
    reason = models.TextField()
    automatic = models.BooleanField()
    harmful = models.BooleanField()

    class Meta:
        db_table = "incidents"
        indexes = [models.Index(fields=["slot", "-id"])]

    def __str__(self) -> str:
        return f"incident {self.pk}: {version_name(self.version_id)} was taken back"
