"""The job row: the truth about a piece of work. The broker only rings a bell."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from r3al_project.common.models import Created


class JobState(models.TextChoices):
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    DONE = "done", "done"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


class Job(Created):
    """One piece of work. A worker holds it by ``token`` until ``lease_until`` (database clock) and renews while it works."""

    kind = models.CharField(max_length=60)
    arguments = models.JSONField(default=dict, help_text="Ids and plain parameters; never a payload.")
    key = models.CharField(max_length=120, null=True, blank=True, unique=True, help_text="Idempotency key.")
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    progress = models.FloatField(default=0.0)
    message = models.CharField(max_length=200, blank=True)
    token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    rung_at = models.DateTimeField(null=True, blank=True, help_text="When the bell was last rung for it.")
    starts = models.PositiveSmallIntegerField(default=0)
    max_starts = models.PositiveSmallIntegerField(default=5)
    cancel_requested = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    result = models.JSONField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True, help_text="First start.")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "jobs"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="job_state_known"),
            models.CheckConstraint(condition=Q(progress__gte=0, progress__lte=1), name="job_progress_in_range"),
            models.CheckConstraint(condition=Q(starts__lte=models.F("max_starts")), name="job_starts_bounded"),
            models.CheckConstraint(
                condition=Q(state="running", lease_until__isnull=False) & ~Q(token="")
                | ~Q(state="running") & Q(lease_until__isnull=True, token=""),
                name="job_lease_while_running",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running"], finished_at__isnull=True)
                | ~Q(state__in=["queued", "running"]) & Q(finished_at__isnull=False),
                name="job_finished_has_time",
            ),
        ]
        indexes = [models.Index(fields=["state", "lease_until"]), models.Index(fields=["kind", "-id"])]

    def __str__(self) -> str:
        return f"job {self.pk} ({self.kind})"

    @property
    def is_over(self) -> bool:
        return self.state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
