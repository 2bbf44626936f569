"""Tell a person's devices apart: which device speaks, and which service's account it was issued to.

A service can issue itself a device of anybody whom it can name. So the person's own refusal is undone only on a device from the
same account as the device that refused. A new phone that is registered by the same app is one. Another service's device is not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, Protocol

from django.contrib.auth import get_user_model

from core.errors import RefusedElsewhere
from privacy.models import Consent, DeviceToken, PrivacyBudget, Purpose
from privacy.models.consent import OWN_SOURCE
from privacy.services.vault.append import time_text
from privacy.services.vault.commitments import row_digest

_REFERENCE_DIGITS = 32


class PresentedToken(Protocol):
    """Define what is read of the token of a request."""

    digest: str


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


def own_refusals_check(*, person_id: int, purposes: Collection[Purpose], origin: Origin) -> None:
    """Raise RefusedElsewhere for purposes that the person refused on a device of another account. Locks their budget row.

    A refusal from before issuers were stored names no account, so any device of the person may undo it.
    """
    PrivacyBudget.objects.select_for_update().get(person_id=person_id)
    closed = [p for p in Purpose if p in purposes and _refusers(person_id, p) - {origin.account_id, None}]
    if closed:
        named = [purpose.value for purpose in closed]
        raise RefusedElsewhere(
            f"the person refused {' and '.join(named)} on a device that another account issued; grant it again on a device of "
            "that app",
            named,
        )


def _refusers(person_id: int, purpose: Purpose) -> set[int | None]:
    """Return the accounts whose devices refused a purpose since it was last granted."""
    acts = Consent.objects.filter(person_id=person_id, purpose=purpose).order_by("-id")
    standing = takewhile(lambda act: not act.granted, acts)
    return {act.account_id for act in standing if act.source == OWN_SOURCE}
