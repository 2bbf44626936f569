"""Define health records of deployed versions: evidence of people, latency by the minute, health checks and incidents."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from core.model_base import Created, CreationTime
from deployments.models.slot import Deployment, ServingSlot
from loops.models import Loop
from privacy.models import DataKey
from training.models import ModelVersion, version_name


class HealthState(models.TextChoices):
    """The health states, by the number of metrics *proven* beyond their thresholds: none, one or two, three or more."""

    HEALTHY = "healthy", "healthy"
    DEGRADED = "degraded", "degraded"
    CRITICAL = "critical", "critical"


class EvidenceUnit(models.Model):
    """Store one person's closed outcomes under one version, in one week of a deployment or on their first day in it.

    The person is the unit of evidence and gives one value for each metric and week: of all their decisions in it. The row stores
    sums, from which that value is computed as a mean or share. It belongs to the person's data key, so erasing the person
    deletes both.
    """

    slot = models.ForeignKey(ServingSlot, on_delete=models.CASCADE, related_name="evidence")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="evidence")
    data_key = models.ForeignKey(DataKey, on_delete=models.CASCADE, related_name="evidence")
    epoch = models.PositiveIntegerField(
        help_text="Number of the deployment's week, or of its first days. A person counts once in it."
    )
    first_exposed_at = models.DateTimeField()
    closes_at = models.DateTimeField(help_text="When every outcome of the window is closed.")
    decisions = models.PositiveIntegerField(default=0)
    interventions = models.PositiveIntegerField(default=0)
    rated = models.PositiveIntegerField(default=0, help_text="Interventions with an empathy component.")
    empathy_sum = models.FloatField(default=0.0)
    answered = models.PositiveIntegerField(default=0, help_text="Interventions with a label.")
    harmful = models.PositiveIntegerField(default=0)
    rewarded = models.PositiveIntegerField(default=0)
    reward_sum = models.FloatField(default=0.0)

    class Meta:
        db_table = "evidence_units"
        constraints = [
            models.UniqueConstraint(fields=["slot", "version", "data_key", "epoch"], name="evidence_unit_once"),
            models.CheckConstraint(
                condition=Q(interventions__lte=F("decisions"), rated__lte=F("interventions"))
                & Q(harmful__lte=F("answered"), answered__lte=F("interventions"), rewarded__lte=F("decisions")),
                name="evidence_counts_nest",
            ),
        ]
        indexes = [models.Index(fields=["slot", "version", "closes_at"])]

    def __str__(self) -> str:
        return f"evidence of {version_name(self.version_id)}, person {self.data_key_id}"


class EvidenceWeek(models.Model):
    """Mark a week of a deployment whose evidence is complete: every outcome is closed, and every person has their unit."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="evidence_weeks")
    week = models.PositiveIntegerField(help_text="1 for the week that starts with the deployment.")
    closed_at = CreationTime()

    class Meta:
        db_table = "evidence_weeks"
        constraints = [models.UniqueConstraint(fields=["deployment", "week"], name="evidence_week_once")]

    def __str__(self) -> str:
        return f"week {self.week} of deployment {self.deployment_id}"


class LatencyMinute(models.Model):
    """Count the decisions answered in one minute under one version of the policy head. Latencies include the commit."""

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


TOO_FEW_VERDICT = "too_few"  # verdict of a metric without enough data
METRICS_OF_HARM = ("empathy", "false_intervention")


class HealthCheck(Created):
    """Store one check of one slot with everything that its verdict used, so that it can be recomputed."""

    slot = models.ForeignKey(ServingSlot, on_delete=models.CASCADE, related_name="health_checks")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="health_checks")
    generation = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=HealthState.choices)
    metrics = models.JSONField(help_text="For each metric: name, value, low, high, threshold, n, minimum n, verdict.")
    triggers = models.JSONField(default=list, help_text="Comparisons with the other arm, with log evidence.")
    recommendations = models.JSONField(default=list)
    acted = models.BooleanField(default=False, help_text="Whether this check rolled the version back.")

    class Meta:
        db_table = "health_checks"
        constraints = [models.CheckConstraint(condition=Q(state__in=HealthState.values), name="health_state_known")]
        indexes = [models.Index(fields=["slot", "-id"])]

    def __str__(self) -> str:
        return f"{self.slot_id}: {self.state}"

    @property
    def enough_seen(self) -> bool:
        """Tell whether enough people were seen for the metrics of harm. If not, "healthy" does not say that it is good."""
        verdicts = {m["name"]: m["verdict"] for m in self.metrics}
        return all(verdicts.get(name, TOO_FEW_VERDICT) != TOO_FEW_VERDICT for name in METRICS_OF_HARM)

    @property
    def status_text(self) -> str:
        """Return the state to display. A version without enough data is not called healthy."""
        undecided = self.state == HealthState.HEALTHY and not self.enough_seen
        return "not enough data yet" if undecided else str(HealthState(self.state).label)


class Incident(Created):
    """Store the rollback of a version, automatic or by hand, with its reason and who did it."""

    slot = models.ForeignKey(ServingSlot, on_delete=models.PROTECT, related_name="incidents")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="incidents")
    deployment = models.OneToOneField(Deployment, on_delete=models.PROTECT, related_name="incident")
    check_made = models.ForeignKey(
        HealthCheck, null=True, blank=True, on_delete=models.SET_NULL, related_name="incidents"
    )
    reason = models.TextField()
    actor = models.CharField(max_length=150, blank=True, help_text="Who rolled it back.")
    automatic = models.BooleanField()
    harmful = models.BooleanField()

    class Meta:
        db_table = "incidents"
        indexes = [models.Index(fields=["slot", "-id"])]

    def __str__(self) -> str:
        return f"incident {self.pk}: {version_name(self.version_id)} was rolled back"
