"""Define the training pool. Each row of its table is one chunk of released or synthetic rows, with its lineage."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.model_base import Created
from jobs.models import Job, JobState
from loops.models import LoopVersion
from privacy.models import Release

CHUNK_ROWS = 5_000
SYNTHESIZE_DATA = "training.synthesize_data"


class SyntheticSource(models.TextChoices):
    """Enumerate what generators may learn from. Each is released under a formal guarantee, so no source costs anything more."""

    WORLD = "world", "rows of the released world model"
    RELEASED_ROWS = "released_rows", "rows released under local differential privacy"
    MARGINALS = "marginals", "rows fitted to noised marginals"


class SyntheticJob(Created):
    """Record one generation of synthetic rows: its generator, seed and release. ``job`` says how the run went.

    A turn draws transitions for a ``head``: a sample is a state with the outcome of every action, so each gives as many rows as
    the head has actions. A request for a table has no head, and a sample is a row. Its scores stand in columns of their own. If
    one of them is below ``threshold``, ``accepted`` is false, ``failures`` say why, and no rows are kept.
    """

    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="synthetic_jobs")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="synthetic_jobs")
    generator = models.CharField(max_length=20)
    source = models.CharField(max_length=20, choices=SyntheticSource.choices, default=SyntheticSource.WORLD)
    head = models.CharField(max_length=20, blank=True)
    sample_count = models.PositiveIntegerField(
        help_text="Sampled states, each with one row an action; rows of a table."
    )
    source_count = models.PositiveIntegerField(
        null=True, blank=True, help_text="Rows of the source that were asked for."
    )
    threshold = models.FloatField(null=True, blank=True, help_text="The lowest score at which rows are kept.")
    seed = models.BigIntegerField()
    request_digest = models.CharField(
        max_length=64,
        null=True,
        blank=True,
        unique=True,
        help_text="Of a request for a table: an equal one is this job.",
    )
    accepted = models.BooleanField(null=True, blank=True, help_text="Null until the scores are known.")
    quality = models.FloatField(null=True, blank=True)
    diversity = models.FloatField(null=True, blank=True)
    privacy = models.FloatField(null=True, blank=True)
    scores = models.JSONField(default=dict, blank=True, help_text="The parts of the scores, and alarms.")
    failures = models.JSONField(default=list, blank=True, help_text="Each score below its bar, and what to do.")
    summary = models.JSONField(default=dict)
    report = models.TextField(blank=True, help_text="One HTML page, deleted with the rows.")
    checkpoint = models.BinaryField(default=b"", blank=True, help_text="The state of an unfinished fit.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When rows and report are deleted.")

    class Meta:
        db_table = "synthetic_jobs"
        permissions = [("synthesize_data", "Can generate synthetic data and read it")]
        constraints = [
            models.UniqueConstraint(
                fields=["release", "head", "generator", "seed", "sample_count"],
                condition=~Q(head=""),
                name="synthetic_once",
            ),
            models.CheckConstraint(
                condition=Q(head="", request_digest__isnull=False, threshold__isnull=False, source_count__isnull=False)
                | ~Q(head="") & Q(request_digest__isnull=True, threshold__isnull=True, source_count__isnull=True),
                name="synthetic_request_whole_or_absent",
            ),
            models.CheckConstraint(
                condition=Q(accepted__isnull=True, quality__isnull=True, diversity__isnull=True, privacy__isnull=True)
                | Q(accepted__isnull=False, quality__isnull=False, diversity__isnull=False, privacy__isnull=False),
                name="synthetic_judged_by_all_scores",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sample_count} {self.generator} samples"

    @property
    def is_table(self) -> bool:
        """Return whether it is a request for a table, as opposed to a turn's transitions."""
        return self.request_digest is not None

    @property
    def state(self) -> str:
        """Return the state of its job. The row of a turn is written when its job ends, so without a job it is done."""
        return JobState.DONE.value if self.job is None else str(self.job.state)

    @property
    def error(self) -> str:
        """Return why its job failed, or an empty text."""
        return "" if self.job is None else self.job.error


class TrainingDataPool(Created):
    """Hold up to 5,000 released or synthetic rows as one array bundle. The pool never holds a raw record."""

    class Kind(models.TextChoices):
        RELEASED = "released", "released"
        SYNTHETIC = "synthetic", "synthetic"

    loop_version = models.ForeignKey(LoopVersion, on_delete=models.PROTECT, related_name="pool_chunks")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="pool_chunks")
    synthetic_job = models.ForeignKey(
        SyntheticJob, null=True, blank=True, on_delete=models.CASCADE, related_name="chunks"
    )
    index = models.PositiveIntegerField()
    rows = models.PositiveIntegerField()
    columns = models.JSONField()
    data = models.BinaryField()
    data_sha256 = models.CharField(max_length=64)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "training_data_pool"
        verbose_name = "pool chunk"
        constraints = [
            models.UniqueConstraint(fields=["synthetic_job", "index"], name="pool_chunk_once"),
            models.CheckConstraint(condition=Q(rows__gt=0, rows__lte=CHUNK_ROWS), name="pool_chunk_size"),
            models.CheckConstraint(
                condition=Q(kind="released") | Q(synthetic_job__isnull=False), name="pool_synthetic_has_job"
            ),
        ]
        indexes = [models.Index(fields=["expires_at"])]

    def __str__(self) -> str:
        return f"{self.rows} {self.kind} rows"
