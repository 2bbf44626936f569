"""The Trust Vault: an append-only, hash-chained record of the platform's actions. It holds commitments, never payloads."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.model_base import Created


class VaultKind(models.TextChoices):
    RELEASE = "release", "release"
    CONSENT = "consent", "consent"
    DECISIONS = "decisions", "decisions"
    DEPLOYMENT = "deployment", "deployment"
    ROLLBACK = "rollback", "rollback"
    BUDGET = "budget", "budget change"
    ERASURE = "erasure", "erasure"
    IMPORT = "import", "import"
    ROWS = "rows", "imported rows"
    OUTCOMES = "outcomes", "outcomes"
    VERSION = "version", "model version"
    SLOT = "slot", "slot"
    EXPIRY = "expiry", "expiry"
    ADOPTION = "adoption", "adoption"
    TURN = "turn", "turn"
    LOOP = "loop", "loop"
    ACCOUNT = "account", "account of a person"
    COVERAGE = "coverage", "coverage"
    WEBHOOK = "webhook", "webhook"
    APPROVAL = "approval", "approval"


class VaultHead(models.Model):
    """The end of the chain. Its single row is the lock that orders appends."""

    sequence = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64)
    seal = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="Keyed digest of number and hash."
    )

    class Meta:
        db_table = "vault_heads"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="vault_has_one_head")]

    def __str__(self) -> str:
        return f"head at {self.sequence}"


class VaultEvent(models.Model):
    """One event. ``hash`` is a keyed digest of the canonical JSON of the event and ``previous_hash``.

    ``subject`` is a keyed commitment to the person concerned (empty: no single person). Erasing a person leaves the chain valid
    and reveals nothing.
    """

    sequence = models.PositiveBigIntegerField(primary_key=True)
    kind = models.CharField(max_length=12, choices=VaultKind.choices)
    at = models.DateTimeField()
    subject = models.CharField(max_length=64, blank=True)
    body = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        db_table = "vault_events"
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=VaultKind.values), name="vault_kind_known"),
            models.CheckConstraint(condition=Q(sequence__gte=1), name="vault_sequence_from_one"),
        ]
        indexes = [models.Index(fields=["kind", "-sequence"]), models.Index(fields=["subject"])]

    def __str__(self) -> str:
        return f"vault event {self.sequence} ({self.kind})"


class VaultBatch(models.Model):
    """Served decisions that were sealed together: the leaves (32 bytes each) and the root of their Merkle tree."""

    event = models.OneToOneField(VaultEvent, on_delete=models.PROTECT, primary_key=True, related_name="batch")
    decisions_count = models.PositiveIntegerField()
    leaves = models.BinaryField()
    root = models.CharField(max_length=64)

    class Meta:
        db_table = "vault_batches"
        constraints = [models.CheckConstraint(condition=Q(decisions_count__gt=0), name="vault_batch_not_empty")]

    def __str__(self) -> str:
        return f"{self.decisions_count} decisions in vault event {self.event_id}"


class VaultCheck(Created):
    """One verification of the whole chain: how far it held, and the hash there. ``broken`` names the first broken link."""

    sequence = models.PositiveBigIntegerField(help_text="Number of valid events.")
    head = models.CharField(max_length=64, blank=True, help_text="Hash of the last valid event.")
    decisions_count = models.PositiveBigIntegerField(help_text="Sealed decisions that match their leaf.")
    erased_count = models.PositiveBigIntegerField(help_text="Sealed decisions that were deleted since.")
    broken = models.TextField(blank=True)

    class Meta:
        db_table = "vault_checks"
        indexes = [models.Index(fields=["-id"], condition=Q(broken=""), name="vault_check_held")]

    def __str__(self) -> str:
        return "broken" if self.broken else f"{self.sequence} events hold"
