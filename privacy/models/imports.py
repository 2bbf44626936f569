"""Imports of files of logged decisions, with counts. Rejected rows are listed in a separate file."""

from __future__ import annotations

from django.db import models

from core.model_base import Created
from loops.models import LoopVersion


class SignalImport(Created):
    """One import of one file."""

    loop_version = models.ForeignKey(LoopVersion, on_delete=models.PROTECT, related_name="imports")
    file_name = models.CharField(max_length=255)
    file_sha256 = models.CharField(max_length=64)
    rows = models.PositiveIntegerField()
    added = models.PositiveIntegerField()
    unchanged = models.PositiveIntegerField()
    rejected = models.PositiveIntegerField()
    counts = models.JSONField(default=dict, help_text="Missing, clamped and rejected values by column and reason.")

    class Meta:
        db_table = "signal_imports"

    def __str__(self) -> str:
        return f"import {self.pk} of {self.file_name}"
