"""Keys that seal people's payloads and exported rows. Destroying one erases what it seals, also in backups without them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.model_base import Created
from privacy.models.person import Person
from privacy.models.release import ReleaseRound

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


class ExportKey(Created):
    """The key (AES-256) of one export's rows, wrapped by the master key of ``master_version``. It ends with the rows.

    Keep this table out of long-term backups, as that of data keys.
    """

    round = models.OneToOneField(ReleaseRound, on_delete=models.CASCADE, primary_key=True, related_name="export_key")
    wrapped = models.BinaryField(max_length=60)
    master_version = models.PositiveSmallIntegerField()

    class Meta:
        db_table = "export_keys"
        constraints = [models.CheckConstraint(condition=Q(master_version__gte=1), name="export_key_master_from_one")]
        indexes = [models.Index(fields=["master_version"])]

    def __str__(self) -> str:
        return f"key of export round {self.round_id}"


class MasterKeyVersion(models.Model):
    """Since when a version of the master key is in use. The key itself is in the settings alone."""

    version = models.PositiveSmallIntegerField(primary_key=True)
    first_seen_at = models.DateTimeField()

    class Meta:
        db_table = "master_key_versions"

    def __str__(self) -> str:
        return f"master key {self.version} since {self.first_seen_at:%Y-%m-%d}"
