"""Issue the device tokens of people, and revoke the tokens of people, of services and of operators."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from knox.models import get_token_model

from privacy.models import DeviceToken, PersonAccount

MOST_DEVICES = 10  # tokens of one person from one account


@transaction.atomic
def device_token_create(account: PersonAccount, *, issuer_id: int | None) -> tuple[str, datetime | None]:
    """Issue a device token. Returns the token, which cannot be retrieved again, and its expiry.

    A person has at most ``MOST_DEVICES`` tokens from one account: its oldest ones end. Those from other accounts stay.

    Args: issuer_id: the account that the token is issued to (None: unknown).
    """
    tokens = get_token_model().objects
    PersonAccount.objects.select_for_update(no_key=True).get(pk=account.pk)  # two devices at once take turns
    held = tokens.filter(user_id=account.user_id, device__issuer_id=issuer_id).order_by("-created", "-pk")
    tokens.filter(pk__in=list(held.values_list("pk", flat=True)[MOST_DEVICES - 1 :])).delete()
    made, token = tokens.create(account.user)
    if issuer_id is not None:
        DeviceToken.objects.create(token=made, issuer_id=issuer_id)
    return token, made.expiry


@transaction.atomic
def device_token_replace(digest: str, account: PersonAccount, *, issuer_id: int | None) -> tuple[str, datetime | None]:
    """Revoke a device token that nobody saw, and issue another one. Returns the token and its expiry."""
    get_token_model().objects.filter(digest=digest).delete()
    return device_token_create(account, issuer_id=issuer_id)


def tokens_revoke(*, user_ids: Collection[int]) -> int:
    """Revoke all tokens of accounts. Returns their number. Every process refuses them within ``CACHE_SECONDS``."""
    revoked, _ = get_token_model().objects.filter(user_id__in=user_ids).delete()
    return int(revoked)


def person_tokens_revoke(*, person_id: int) -> int:
    """Revoke the tokens of all devices of a person. Returns their number."""
    accounts = PersonAccount.objects.filter(person_id=person_id)
    return tokens_revoke(user_ids=list(accounts.values_list("user_id", flat=True)))
