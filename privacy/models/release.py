"""Releases: charged computations whose output may leave the trust boundary. Permanent (table ``anonymization_logs``)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.model_base import Created
from loops.models import Loop, LoopVersion
from privacy.engine.anonymize.registry import technique_labels

ANONYMIZE_DATA = "privacy.anonymize_data"


def technique_choices() -> list[tuple[str, str]]:
    """Return the registered techniques with their labels. It is a function so that a new technique needs no migration."""
    return technique_labels()


class ReleaseState(models.TextChoices):
    """The states of a release. A reserved one ends in one of the other three, and no other change is possible."""

    RESERVED = "reserved", "reserved"
    COMMITTED = "committed", "committed"
    REFUNDED = "refunded", "refunded"
    ABANDONED = "abandoned", "abandoned: noise was drawn, so its charge stays"


class Release(Created):
    """One release: the computation, its guarantee, and its charge to each person in it.

    ``policy_cost`` (nano units) is always charged. ``rho`` (nano), ``formal_epsilon`` and ``formal_delta`` are null for
    techniques without a differential-privacy meaning. ``noisy_users`` is the noised number of people; the exact number is not
    stored.
    ``rows_in`` and ``rows_out`` are rounded to two digits. ``information_loss`` is the lost share of the columns' ranges.
    """

    key = models.CharField(max_length=120, unique=True, help_text="Idempotency key.")
    loop_version = models.ForeignKey(LoopVersion, on_delete=models.PROTECT, related_name="releases")
    purpose = models.CharField(max_length=20)
    technique = models.CharField(max_length=30, choices=technique_choices)
    mechanism = models.CharField(max_length=60)
    unit = models.CharField(max_length=20, default="user")
    neighbouring = models.CharField(max_length=40, default="add or remove one user")
    parameters = models.JSONField(default=dict)
    policy_cost = models.BigIntegerField()
    rho = models.BigIntegerField(null=True, blank=True)
    formal_epsilon = models.FloatField(null=True, blank=True)
    formal_delta = models.FloatField(null=True, blank=True)
    guarantee = models.TextField(help_text="The guarantee in one sentence.")
    library_version = models.CharField(max_length=40, blank=True)
    state = models.CharField(max_length=10, choices=ReleaseState.choices, default=ReleaseState.RESERVED)
    noisy_users = models.FloatField(null=True, blank=True)
    data_type = models.CharField(max_length=20, blank=True)
    rows_in = models.PositiveBigIntegerField(null=True, blank=True)
    rows_out = models.PositiveBigIntegerField(null=True, blank=True)
    information_loss = models.FloatField(null=True, blank=True)
    committed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "anonymization_logs"
        verbose_name = "release"
        permissions = [("anonymize_data", "Can anonymise data and read what comes out")]
        constraints = [
            models.CheckConstraint(condition=Q(policy_cost__gt=0), name="release_costs_something"),
            models.CheckConstraint(
                condition=Q(rho__isnull=True, formal_epsilon__isnull=True, formal_delta__isnull=True)
                # Explicit, because a comparison with null is unknown, and a CHECK accepts what is unknown.
                | Q(
                    rho__isnull=False,
                    rho__gt=0,
                    formal_epsilon__isnull=False,
                    formal_epsilon__gt=0,
                    formal_delta__isnull=False,
                    formal_delta__gte=0,
                    formal_delta__lt=1,
                ),
                name="release_formal_whole_or_absent",
            ),
            models.CheckConstraint(condition=Q(state__in=ReleaseState.values), name="release_state_known"),
            models.CheckConstraint(
                condition=Q(state="committed", committed_at__isnull=False)
                | ~Q(state="committed") & Q(committed_at__isnull=True),
                name="release_committed_has_time",
            ),
        ]
        indexes = [models.Index(fields=["loop_version", "purpose", "-id"])]

    def __str__(self) -> str:
        return f"release {self.pk} ({self.purpose})"


class RefusalPermit(models.Model):
    """One of a loop's few permits for an anonymisation that people's records may refuse (see ``REFUSALS_A_DAY``).

    ``release_key`` is the key of the release that holds it; empty once a refusal has used it up. ``at`` is when it was taken or
    used up. A permit that no longer counts is deleted when the next one is taken.
    """

    loop = models.ForeignKey(Loop, on_delete=models.PROTECT, related_name="+")
    release_key = models.CharField(max_length=120, blank=True, db_index=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "refusal_permits"

    def __str__(self) -> str:
        return f"permit of loop {self.loop_id}"


class ReleaseRound(Created):
    """The stored output of one round of a release. It is written once; a retry reads it and never samples again.

    Rows of people expire. Until then they are sealed under a key of their own (``ExportKey``); then key and output are destroyed.
    The SHA-256 is that of the plain output, and stays.
    """

    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="rounds")
    index = models.PositiveSmallIntegerField()
    output = models.BinaryField()
    output_sha256 = models.CharField(max_length=64)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "release_rounds"
        constraints = [models.UniqueConstraint(fields=["release", "index"], name="release_round_once")]

    def __str__(self) -> str:
        return f"round {self.index} of release {self.release_id}"
