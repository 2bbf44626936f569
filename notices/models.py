"""Notices to operators, where they are sent, and what became of each. They hold no facts about a person."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from core.model_base import Created
from notices.engine.kinds import INFO, LONGEST_FACT, LONGEST_KIND, LONGEST_SENTENCE, NOTICE_KINDS, NOTICE_LEVELS

MANAGE_WEBHOOKS = "notices.change_webhookendpoint"
VIEW_NOTICES = "notices.view_notice"
LONGEST_NOTICE_KEY, LONGEST_WEBHOOK_URL, LONGEST_WEBHOOK_NAME = 120, 500, 60


def _kinds() -> list[tuple[str, str]]:
    return [(kind.name, kind.words) for kind in NOTICE_KINDS.values()]


def _levels() -> list[tuple[str, str]]:
    return [(level, level) for level in NOTICE_LEVELS]


class Notice(Created):
    """Store that something happened which operators want to hear of, in the transaction in which it happened.

    ``key`` says which happening it is, so that a retried transaction or a repeated tick tells it once.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    key = models.CharField(max_length=LONGEST_NOTICE_KEY, unique=True)
    kind = models.CharField(max_length=LONGEST_KIND, choices=_kinds)
    level = models.CharField(max_length=10, choices=_levels)
    subject = models.CharField(max_length=LONGEST_FACT, help_text="What it is about, such as a slot.")
    sentence = models.CharField(max_length=LONGEST_SENTENCE)
    facts = models.JSONField(default=dict)
    link = models.CharField(max_length=200, blank=True, help_text="Path of the page that shows more.")
    sent_out_at = models.DateTimeField(null=True, blank=True, help_text="When its deliveries were queued.")

    class Meta:
        db_table = "notices"
        constraints = [
            models.CheckConstraint(condition=~Q(key=""), name="notice_key_named"),
            models.CheckConstraint(condition=Q(level__in=NOTICE_LEVELS), name="notice_level_known"),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(sent_out_at__isnull=True), name="notices_to_send_out"),
            models.Index(fields=["created_at"], name="notices_by_age"),
        ]

    def __str__(self) -> str:
        return self.sentence


class WebhookEndpoint(Created):
    """Store an address that hears notices. Its secret is not stored: it follows from the installation's salt.

    ``secret_number`` grows with each new secret.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=LONGEST_WEBHOOK_NAME, unique=True)
    url = models.CharField("address", max_length=LONGEST_WEBHOOK_URL)
    least_level = models.CharField(
        "from level", max_length=10, choices=_levels, default=INFO, help_text="It hears this level and louder ones."
    )
    kinds = models.JSONField(default=list, blank=True, help_text="The only kinds that it hears. None: all.")
    enabled = models.BooleanField(default=True)
    secret_number = models.PositiveSmallIntegerField(default=1)
    secret_changed_at = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_failure_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=40, blank=True)

    class Meta:
        db_table = "webhook_endpoints"
        verbose_name = "webhook"
        constraints = [
            models.CheckConstraint(condition=~Q(name="") & ~Q(url=""), name="webhook_named_and_addressed"),
            models.CheckConstraint(condition=Q(least_level__in=NOTICE_LEVELS), name="webhook_level_known"),
            models.CheckConstraint(condition=Q(secret_number__gte=1), name="webhook_secret_from_one"),
        ]

    def __str__(self) -> str:
        return self.name


class DeliveryState(models.TextChoices):
    """Enumerate the states of a delivery. Delivered and given up are final."""

    PENDING = "pending", "pending"
    DELIVERED = "delivered", "delivered"
    GIVEN_UP = "given_up", "given up"


class Delivery(Created):
    """Store what became of one notice on one way: to a webhook, or by e-mail (no endpoint).

    A worker that tries it holds it by ``token`` until ``next_attempt_at``.
    """

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(
        WebhookEndpoint, null=True, blank=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    state = models.CharField(max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    token = models.CharField(max_length=32, blank=True)
    last_error = models.CharField(max_length=40, blank=True, help_text="The kind of error, never an answer's text.")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "notice_deliveries"
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["notice", "endpoint"], name="delivery_endpoint_once"),
            models.UniqueConstraint(fields=["notice"], condition=Q(endpoint__isnull=True), name="delivery_mail_once"),
            models.CheckConstraint(condition=Q(state__in=DeliveryState.values), name="delivery_state_known"),
            models.CheckConstraint(
                condition=Q(state="pending", finished_at__isnull=True)
                | ~Q(state="pending") & Q(finished_at__isnull=False, token=""),
                name="delivery_finished_has_time",
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(state="pending"), name="deliveries_due"),
        ]

    def __str__(self) -> str:
        return f"notice {self.notice_id} to {self.endpoint or 'e-mail'}: {self.get_state_display()}"


class NoticeSeen(models.Model):
    """Store up to which notice an operator has seen them all."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    last_seen = models.PositiveBigIntegerField(default=0, help_text="The number of the newest notice seen.")

    class Meta:
        db_table = "notices_seen"

    def __str__(self) -> str:
        return f"{self.user} up to notice {self.last_seen}"
