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
