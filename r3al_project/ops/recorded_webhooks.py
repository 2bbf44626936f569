"""Add, change and remove webhooks, each with an event in the Trust Vault: who is told of incidents, and since when."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from notices.models import WebhookEndpoint
from notices.services.endpoints import endpoint_save, endpoint_secret_renew
from privacy.models import VaultKind
from privacy.services.vault.append import vault_append
from privacy.services.vault.commitments import text_digest
from privacy.services.vault.record_checks import check_register
from privacy.services.vault.stored_rows import StoredRows

WEBHOOKS = StoredRows(
    "webhooks",
    (
        "pk", "created_at", "public_id", "name", "url", "least_level", "kinds", "enabled", "secret_number", "secret_changed_at",
    ),
    lambda: WebhookEndpoint.objects.all(),
    is_named=False,
)  # fmt: skip
check_register(WEBHOOKS)


@transaction.atomic
def webhook_save(endpoint: WebhookEndpoint, *, actor: str) -> None:
    """Store a new or changed webhook. Raises InputError that names the field."""
    state, before = ("added" if endpoint._state.adding else "changed"), _total(endpoint)
    endpoint_save(endpoint)
    _record(endpoint.pk, state, actor, before, endpoint)


@transaction.atomic
def webhook_secret_renew(endpoint: WebhookEndpoint, *, actor: str) -> None:
    """Give a webhook its next secret. For a day messages are signed with the last one too."""
    before = _total(endpoint)
    endpoint_secret_renew(endpoint)
    _record(endpoint.pk, "new secret", actor, before, endpoint)


@transaction.atomic
def webhook_delete(endpoint: WebhookEndpoint, *, actor: str) -> None:
    """Remove a webhook, with what was to be delivered to it."""
    pk, before = endpoint.pk, _total(endpoint)
    endpoint.delete()
    _record(pk, "removed", actor, before, endpoint)


def _total(endpoint: WebhookEndpoint) -> int:
    """Return the digest of the stored row under a lock, or 0 for a new one."""
    if endpoint._state.adding:
        return 0
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk)
    list(rows.select_for_update())
    return WEBHOOKS.total(rows)


def _record(pk: int, state: str, actor: str, before: int, endpoint: WebhookEndpoint) -> None:
    """Append the event. The address and the name are texts that somebody typed, so it holds their digests."""
    after = WEBHOOKS.total(WebhookEndpoint.objects.filter(pk=pk))
    body: dict[str, Any] = {
        "webhook": pk, "state": state, "actor": actor, "name": text_digest(endpoint.name), "url": text_digest(endpoint.url),
        "from_level": endpoint.least_level, "enabled": endpoint.enabled,
    }  # fmt: skip
    vault_append(kind=VaultKind.WEBHOOK, body=body, sums={WEBHOOKS.name: after - before})
