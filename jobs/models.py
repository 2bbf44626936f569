"""Define the job table, which is authoritative for every piece of background work. The broker only carries job ids."""

from __future__ import annotations

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q

from core.model_base import Created

CANCEL_JOB = "jobs.cancel_job"


class JobState(models.TextChoices):
    """Enumerate the states of a job. Done, failed and cancelled are final."""

    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    DONE = "done", "done"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


OPEN_STATES = (JobState.QUEUED, JobState.RUNNING)


class Job(Created):
    """Store one piece of work. A worker holds it by ``lease_token`` until ``lease_until`` (database clock), and renews it.

    On SQLite a lease ends when it was not renewed for as long as it lasts (``jobs.lease_watch``).
    """

    kind = models.CharField(max_length=60)
    arguments = models.JSONField(default=dict, help_text="Ids and plain parameters; never a payload.")
    key = models.CharField(max_length=120, null=True, blank=True, unique=True, help_text="Idempotency key.")
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    progress = models.FloatField(default=0.0, help_text="Of the current start, 0 to 1.")
    message = models.CharField(max_length=200, blank=True)
    lease_token = models.CharField(max_length=32, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    dispatched_at = models.DateTimeField(null=True, blank=True, help_text="When the workers were last told of it.")
    dispatches = models.PositiveIntegerField(
        default=0, help_text="How often the workers were told since it was last queued."
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=5)
    cancel_requested = models.BooleanField(default=False)
    cancelled_by = models.CharField(max_length=150, blank=True, help_text="Who requested the cancellation.")
    error = models.TextField(blank=True, help_text="Why it failed; while it is open, why its last start ended.")
    result = models.JSONField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True, help_text="First start.")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "jobs"
        permissions = [("cancel_job", "Can cancel a job")]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="job_state_known"),
            models.CheckConstraint(condition=~Q(kind=""), name="job_kind_named"),
            models.CheckConstraint(condition=Q(key__isnull=True) | ~Q(key=""), name="job_key_null_or_named"),
            models.CheckConstraint(condition=Q(progress__gte=0, progress__lte=1), name="job_progress_in_range"),
            models.CheckConstraint(
                condition=Q(max_attempts__gte=1, attempts__lte=F("max_attempts")), name="job_attempts_bounded"
            ),
            models.CheckConstraint(
                condition=Q(state="running", lease_until__isnull=False) & ~Q(lease_token="")
                | ~Q(state="running") & Q(lease_until__isnull=True, lease_token=""),
                name="job_lease_while_running",
            ),
            models.CheckConstraint(
                condition=Q(attempts=0, started_at__isnull=True) | Q(attempts__gt=0, started_at__isnull=False),
                name="job_started_has_time",
            ),
            models.CheckConstraint(
                condition=Q(state__in=OPEN_STATES, finished_at__isnull=True)
                | ~Q(state__in=OPEN_STATES) & Q(finished_at__isnull=False),
                name="job_finished_has_time",
            ),
            models.CheckConstraint(
                condition=Q(state="done", result__isnull=False, progress=1, attempts__gt=0)
                | ~Q(state="done") & Q(result__isnull=True),
                name="job_result_when_done",
            ),
            models.CheckConstraint(condition=~Q(state="failed", error=""), name="job_failed_has_reason"),
            # A job with a cancellation request is never queued again, and no job is cancelled without a request.
            models.CheckConstraint(
                condition=~Q(state="queued", cancel_requested=True) & ~Q(state="cancelled", cancel_requested=False),
                name="job_cancelled_when_asked",
            ),
        ]
        # Finished jobs accumulate, but reconciliation and the front page read only the few open ones.
        indexes = [
            models.Index(fields=["state", "lease_until"], condition=Q(state__in=OPEN_STATES), name="jobs_open"),
            models.Index(fields=["kind", "-id"], name="jobs_kind_latest"),
        ]

    def __str__(self) -> str:
        return f"job {self.pk} ({self.kind})"

    @property
    def is_over(self) -> bool:
        """Return whether the job is done, failed or cancelled. These states are final."""
        return self.state not in OPEN_STATES

    @property
    def percent(self) -> int:
        """Return the progress in whole percent. Only a finished job shows 100."""
        return 100 if self.state == JobState.DONE else min(int(self.progress * 100), 99)

    @property
    def seconds(self) -> float | None:
        """Return the seconds from the first start to the end, or None for a job that has not started or not ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class PeriodicRun(models.Model):
    """Store when a task that people depend on last finished. It holds no facts about a person."""

    task = models.CharField(max_length=100, primary_key=True, help_text="Name of the Celery task.")
    title = models.CharField(max_length=60)
    finished_at = models.DateTimeField(help_text="Of the last run without an error; at first, when watching began.")

    class Meta:
        db_table = "periodic_runs"

    def __str__(self) -> str:
        return self.title


class IdempotentAnswer(Created):
    """Store the answer to a POST with an Idempotency-Key, in the transaction of its effects. Rows last a day, without secrets.

    An anonymisation keeps its own answer. Its row holds the digest of the request alone.

    ``about`` is the account of the person that the answer concerns, if any. Erasing that person deletes the row.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=100)
    request_digest = models.CharField(max_length=64, help_text="Keyed.")
    about = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    token_digest = models.CharField(max_length=128, blank=True, help_text="Of the token that the answer showed.")
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    location = models.CharField(max_length=200, blank=True)

    class Meta:
        db_table = "idempotent_answers"
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotent_key_once")]

    def __str__(self) -> str:
        return f"answer {self.pk}"
