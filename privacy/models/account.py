"""How a person's own devices log in."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from core.model_base import Created
from privacy.models.person import Person

REVOKE_TOKENS = "privacy.revoke_tokens"


class PersonAccount(Created):
    """The login behind a person's device tokens, one per person. Revoking it does not affect trained models."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="person_account")
    person = models.OneToOneField(Person, on_delete=models.CASCADE, related_name="account")

    class Meta:
        db_table = "person_accounts"
        permissions = [("revoke_tokens", "Can revoke the tokens of people and of services")]

    def __str__(self) -> str:
        return f"account of person {self.person_id}"


class DeviceToken(models.Model):
    """Which account a device's token was issued to. It ends with the token.

    ``issuer_id`` is a number and no reference, so it stays when the account is deleted, and never names another account.
    """

    token = models.OneToOneField("knox.AuthToken", on_delete=models.CASCADE, primary_key=True, related_name="device")
    issuer_id = models.PositiveBigIntegerField()

    class Meta:
        db_table = "device_tokens"

    def __str__(self) -> str:
        return f"a device from account {self.issuer_id}"
