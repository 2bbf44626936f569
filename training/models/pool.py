"""Define the training pool. Each row of its table is one chunk of released or synthetic rows, with its lineage."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.model_base import Created
from jobs.models import Job
from loops.models import LoopVersion
from privacy.models import Release

CHUNK_ROWS = 5_000


class SyntheticJob(Created):
    """Record one generation of synthetic rows: its generator, seed and release. ``job`` says how the run went.

    A sample is a state with the outcome of every action, so each gives as many rows as the head has actions.
    """

    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="synthetic_jobs")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="synthetic_jobs")
    generator = models.CharField(max_length=20)
    head = models.CharField(max_length=20)
    sample_count = models.PositiveIntegerField(help_text="Sampled states; each gives one row for every action.")
    seed = models.BigIntegerField()
    summary = models.JSONField(default=dict)

    class Meta:
        db_table = "synthetic_jobs"
        constraints = [
            models.UniqueConstraint(
                fields=["release", "head", "generator", "seed", "sample_count"], name="synthetic_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.sample_count} {self.generator} samples"


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
