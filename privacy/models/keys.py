"""Data keys, which seal people's payloads. Destroying a key erases the payloads, also in backups that lack this table."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.model_base import Created
from privacy.models.person import Person

ERASE_PERSON = "privacy.erase_person"


class DataKey(Created):
    """One person's key (AES-256), wrapped by the master key of ``master_version``. Keep this table out of long-term backups."""

    person = models.OneToOneField(Person, on_delete=models.CASCADE, primary_key=True, related_name="data_key")
    wrapped = models.BinaryField(max_length=60)
    master_version = models.PositiveSmallIntegerField()

    class Meta:
        db_table = "data_keys"
        permissions = [("erase_person", "Can erase people: their keys, their rows, and the way back")]
        constraints = [models.CheckConstraint(condition=Q(master_version__gte=1), name="data_key_master_from_one")]
        indexes = [models.Index(fields=["master_version"])]

    def __str__(self) -> str:
        return f"data key of person {self.person_id}"
