"""Consent, as an append-only history. A bit mask on the budget row holds current consent, under the lock that charges take."""

from __future__ import annotations

from django.db import models

from core.model_base import Created
from privacy.models.person import Person

OWN_SOURCE = "app"  # source of the acts that a person makes on their own device


class Purpose(models.TextChoices):
    PERSONALIZATION = "personalization", "personalization"
    TRAINING = "training", "training"
    EVALUATION = "evaluation", "evaluation"

    @property
    def bit(self) -> int:
        return {"personalization": 1, "training": 2, "evaluation": 4}[self.value]


class Consent(Created):
    """One act of consent: a person granted or withdrew one purpose, under one version of the consent text.

    An act that ``lifts`` grants nothing: the person no longer refuses on devices of its account, but refuses elsewhere.
    """

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="consents")
    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    granted = models.BooleanField()
    text_version = models.CharField(max_length=40, default="1")
    source = models.CharField(max_length=80, help_text="Origin of the act, such as the app or an import.")
    device = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="Keyed digest of the device's token, if a device sent it.",
    )
    account_id = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Account that issued the device, or that reported the act."
    )

    lifts = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The person no longer refuses on this account's devices. Another account's refusal stands.",
    )

    class Meta:
        db_table = "consents"
        constraints = [
            models.CheckConstraint(condition=models.Q(purpose__in=Purpose.values), name="consent_purpose_known"),
            models.CheckConstraint(
                condition=models.Q(lifts=False) | models.Q(granted=False, source=OWN_SOURCE, account_id__isnull=False),
                name="consent_lift_is_an_accounts_own",
            ),
        ]
        indexes = [models.Index(fields=["person", "purpose", "-id"])]

    def __str__(self) -> str:
        done = "granted" if self.granted else "refusal lifted" if self.lifts else "withdrawn"
        return f"{self.purpose} {done}"
