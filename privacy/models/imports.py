"""Imports of files of logged decisions, with counts. Rejected rows are listed in a separate file."""

from __future__ import annotations

from django.db import models

from core.model_base import Created
from loops.models import LoopVersion

LONGEST_OVERRIDE = 300


class SignalImport(Created):
    """One import of one file, known by its SHA-256. Its name is not stored, because it may name people. Counts are rounded."""

    loop_version = models.ForeignKey(LoopVersion, on_delete=models.PROTECT, related_name="imports")
    file_sha256 = models.CharField(max_length=64)
    rows = models.PositiveIntegerField()
    added = models.PositiveIntegerField()
    unchanged = models.PositiveIntegerField()
    rejected = models.PositiveIntegerField()
    counts = models.JSONField(default=dict, help_text="Missing, clamped and rejected values by column and reason.")
    propensities = models.JSONField(
        default=list, help_text="Mean of 1{a}/p of each head and action, with its interval."
    )
    override = models.CharField(
        max_length=LONGEST_OVERRIDE, blank=True, default="", db_default="",
        help_text="Reason for importing a file whose propensities its actions refute.",
    )  # fmt: skip

    class Meta:
        db_table = "signal_imports"

    def __str__(self) -> str:
        return f"import {self.pk}"
