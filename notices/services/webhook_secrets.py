"""Derive the secrets of webhooks. None is stored: each follows from the installation's salt, the webhook and a number."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from standardwebhooks.webhooks import Webhook

from core.digests import WEBHOOK_SECRET, keyed
from notices.models import WebhookEndpoint

OVERLAP = timedelta(days=1)  # in which both secrets sign, so that a receiver can change its own in peace


def webhook_secret(endpoint: WebhookEndpoint, number: int | None = None) -> str:
    """Return a webhook's secret as receivers store it: ``whsec_`` and 32 bytes in base64. Default: the present one."""
    chosen = endpoint.secret_number if number is None else number
    key = keyed(WEBHOOK_SECRET, endpoint.public_id.bytes, str(chosen))
    return "whsec_" + base64.b64encode(key).decode()


def signatures(endpoint: WebhookEndpoint, *, message: str, body: str, now: datetime) -> str:
    """Return the header ``webhook-signature``: that of the present secret, and for a day after a change that of the last one."""
    numbers = [endpoint.secret_number]
    if endpoint.secret_changed_at and now < endpoint.secret_changed_at + OVERLAP:
        numbers.append(endpoint.secret_number - 1)
    return " ".join(Webhook(webhook_secret(endpoint, n)).sign(message, now, body) for n in numbers)
