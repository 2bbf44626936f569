"""Define the figures of shadow tests, by minute. They are sums, and hold no person's choice."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from training.models import ModelVersion


class ShadowMinute(models.Model):
    """Count the decisions beside which a shadow decided in one minute.

    Choices are compared in groups of at least ten, each counted in the minute in which it was full. So no row tells a single
    choice, and ``compared`` may be larger than ``scored``.
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="shadow_minutes")
    minute = models.DateTimeField()
    scored = models.PositiveIntegerField(default=0, help_text="Decisions for which the shadow made a choice.")
    late = models.PositiveIntegerField(default=0, help_text="Choices that took longer than their time budget.")
    errors = models.PositiveIntegerField(default=0, help_text="Decisions at which the shadow failed.")
    dropped = models.PositiveIntegerField(default=0, help_text="Decisions for which there was no time.")
    compared = models.PositiveIntegerField(default=0, help_text="Choices compared with those of the stable version.")
    agreed = models.PositiveIntegerField(default=0)
    intervened = models.PositiveIntegerField(default=0, help_text="Of those compared, by the shadow.")
    stable_intervened = models.PositiveIntegerField(default=0, help_text="Of those compared, by the stable version.")
    total_us = models.PositiveBigIntegerField(default=0)
    slowest_us = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "shadow_minutes"
        constraints = [
            models.UniqueConstraint(fields=["version", "minute"], name="shadow_minute_once"),
            models.CheckConstraint(
                condition=Q(
                    late__lte=F("scored"),
                    agreed__lte=F("compared"),
                    intervened__lte=F("compared"),
                    stable_intervened__lte=F("compared"),
                ),
                name="shadow_counts_nest",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scored} choices at {self.minute:%H:%M}"
