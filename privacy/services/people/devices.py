"""Tell a person's devices apart: which device speaks, and which service's account it was issued to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.contrib.auth import get_user_model

from privacy.models import Consent, DeviceToken
from privacy.services.vault.append import time_text
from privacy.services.vault.commitments import row_digest

_REFERENCE_DIGITS = 32


class PresentedToken(Protocol):
    """Define what is read of the token of a request."""

    @property
    def digest(self) -> str: ...


@dataclass(frozen=True)
class Origin:
    """Who is behind an act of consent: the account that issued the person's ``device``, or that reported the act.

    ``account_id`` is None for a device from before issuers were stored. ``device`` is a keyed digest of the device's token, and
    empty where a service reported the act.
    """

    account_id: int | None
    account: str
    device: str = ""
    issued_at: datetime | None = None

    def facts(self) -> dict[str, Any]:
        """Return what the Trust Vault records of it."""
        if not self.device:
            return {"account": self.account} if self.account else {}
        issued = None if self.issued_at is None else time_text(self.issued_at)
        return {"device": self.device, "issuer": self.account, "issued": issued}


NOBODY = Origin(None, "")


def device_origin(token: PresentedToken) -> Origin:
    """Return the device that holds a token of a person."""
    reference = row_digest("device", token.digest)[:_REFERENCE_DIGITS]
    issued = DeviceToken.objects.select_related("token").filter(token_id=token.digest).first()
    if issued is None:
        return Origin(None, "", reference)
    return Origin(issued.issuer_id, _name_of(issued.issuer_id), reference, issued.token.created)


def act_origin(act: Consent) -> Origin:
    """Return who was behind a stored act, for an act that repeats it."""
    return Origin(act.account_id, _name_of(act.account_id), act.device)


def _name_of(account_id: int | None) -> str:
    """Return the user name of an account, or its number if it was deleted."""
    if account_id is None:
        return ""
    found = get_user_model().objects.filter(pk=account_id).values_list("username", flat=True).first()
    return found or f"account {account_id}"
