"""Served decisions, why a person was unavailable, and reward events.

A served decision is a ``Decision`` with its ``Choice`` rows, plus one row here with what only serving needs.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q

from core.model_base import Created
from privacy.models.decision import Decision
from privacy.models.person import Person
from privacy.models.vault import VaultBatch


class Unavailable(models.TextChoices):
    """Reasons why a person is unavailable. They are decided before any draw, so such a decision has no propensity."""

    QUIET_HOURS = "quiet_hours", "quiet hours"
    COOLDOWN = "cooldown", "too soon after the last intervention"
    DAILY_CAP = "daily_cap", "the day's interventions are used up"
    DISTRESS = "distress", "the person is in distress"
    NO_DATA = "no_data", "too little is known of the person's state"


class ServedDecision(models.Model):
    """The serving side of one decision. The app refers to it by ``public_id``.

    ``request_key`` is a keyed digest of the app's request id, by which a retry finds the original. ``seed`` determines every
    draw, so that the decision can be replayed bit for bit. ``closed_at`` is set once, when the outcome is settled.
    """

    decision = models.OneToOneField(Decision, on_delete=models.CASCADE, primary_key=True, related_name="served")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="served")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    request_key = models.BinaryField(max_length=16)
    seed = models.BinaryField(max_length=16)
    exploration_bp = models.PositiveIntegerField(
        default=0, help_text="Share of decisions explored at that time, in basis points."
    )
    unavailable = models.CharField(max_length=12, blank=True, choices=Unavailable.choices)
    clamped = models.PositiveSmallIntegerField(default=0, help_text="Number of context values outside their bounds.")
    expires_at = models.DateTimeField(help_text="After this time the app must request a new decision.")
    closes_at = models.DateTimeField(
        help_text="The reward deadline. Later rewards are stored but never used for training."
    )
    activated_at = models.DateTimeField(null=True, blank=True, help_text="When the device showed the decision.")
    closed_at = models.DateTimeField(null=True, blank=True)
    vault_batch = models.ForeignKey(
        VaultBatch, null=True, blank=True, on_delete=models.PROTECT, related_name="decisions"
    )

    class Meta:
        db_table = "served_decisions"
        constraints = [
            models.UniqueConstraint(fields=["person", "request_key"], name="served_request_once"),
            models.CheckConstraint(condition=Q(unavailable__in=["", *Unavailable.values]), name="served_reason_known"),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True) | Q(closed_at__gte=F("closes_at")), name="served_closes_in_time"
            ),
        ]
        indexes = [
            models.Index(fields=["closes_at"], condition=Q(closed_at__isnull=True), name="served_open"),
            models.Index(fields=["decision"], condition=Q(vault_batch__isnull=True), name="served_unsealed"),
        ]

    def __str__(self) -> str:
        return f"served decision {self.decision_id}"


class RewardEvent(Created):
    """One reward event: the app's report about a decision. Late events are never used for training.

    ``payload`` is float64[7], total then six components, NaN where not given, sealed with the person's data key.
    """

    served = models.ForeignKey(ServedDecision, on_delete=models.CASCADE, related_name="rewards")
    reward_key = models.BinaryField(max_length=16)
    content_key = models.BinaryField(
        max_length=16, help_text="Keyed digest of the body, by which a retry is recognised."
    )
    payload = models.BinaryField(help_text="float64, little-endian; sealed.")
    harmful = models.BooleanField(null=True)
    late = models.BooleanField(default=False)

    class Meta:
        db_table = "reward_events"
        constraints = [models.UniqueConstraint(fields=["served", "reward_key"], name="reward_event_once")]

    def __str__(self) -> str:
        return f"reward event {self.pk}"
