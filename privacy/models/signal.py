"""Raw records about people, as their apps send them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.model_base import Created
from loops.models import LoopVersion
from privacy.engine.data_types import DATA_TYPES
from privacy.models.person import Person


class Signal(Created):
    """One raw record about a person: a node of the memory graph.

    ``payload`` is float64[number of features], NaN where not given, sealed with the person's data key.
    """

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="signals")
    loop_version = models.ForeignKey(LoopVersion, on_delete=models.PROTECT, related_name="signals")
    kind = models.CharField(max_length=12, choices=[(name, name) for name in DATA_TYPES])
    signal_key = models.BinaryField(max_length=16)
    content_key = models.BinaryField(
        max_length=16, help_text="Keyed digest of the body, by which a retry is recognised."
    )
    observed_at = models.DateTimeField()
    payload = models.BinaryField(help_text="float64, little-endian; sealed.")

    class Meta:
        db_table = "signals"
        constraints = [
            models.UniqueConstraint(fields=["person", "signal_key"], name="signal_once"),
            models.CheckConstraint(condition=Q(kind__in=list(DATA_TYPES)), name="signal_kind_known"),
        ]
        indexes = [models.Index(fields=["person", "-observed_at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
