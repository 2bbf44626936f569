"""Add, change and remove webhooks. The roof records each change in the Trust Vault, which this floor does not know."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from core.errors import InputError
from notices.engine.kinds import NOTICE_LEVELS, notice_kind_named
from notices.models import LONGEST_WEBHOOK_NAME, Delivery, DeliveryState, WebhookEndpoint
from notices.services.web_addresses import web_address_parsed

SWITCHED_OFF = "switched off"


def endpoint_check(endpoint: WebhookEndpoint) -> None:
    """Check a webhook before it is stored. Raises InputError that names the field."""
    if not 0 < len(endpoint.name) <= LONGEST_WEBHOOK_NAME or not endpoint.name.isprintable():
        raise InputError(f"the name of a webhook has 1 to {LONGEST_WEBHOOK_NAME} characters in one line", field="name")
    if WebhookEndpoint.objects.filter(name=endpoint.name).exclude(pk=endpoint.pk).exists():
        raise InputError(f"there is a webhook {endpoint.name!r} already; choose another name", field="name")
    if endpoint.least_level not in NOTICE_LEVELS:
        raise InputError(f"a webhook hears from one of {', '.join(NOTICE_LEVELS)} on", field="least_level")
    for kind in endpoint.kinds:
        notice_kind_named(kind)
    web_address_parsed(endpoint.url)


@transaction.atomic
def endpoint_save(endpoint: WebhookEndpoint) -> None:
    """Store a new or changed webhook. What waits for one that is switched off is given up. Raises InputError."""
    endpoint_check(endpoint)
    if endpoint._state.adding:
        endpoint.save()
    else:
        endpoint.save(update_fields=["name", "url", "least_level", "kinds", "enabled"])
    if not endpoint.enabled:
        Delivery.objects.filter(endpoint=endpoint, state=DeliveryState.PENDING).update(
            state=DeliveryState.GIVEN_UP, finished_at=Now(), token="", last_error=SWITCHED_OFF
        )


def endpoint_secret_renew(endpoint: WebhookEndpoint) -> None:
    """Give a webhook its next secret. For a day messages are signed with the last one too."""
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        secret_number=F("secret_number") + 1, secret_changed_at=timezone.now()
    )
    endpoint.refresh_from_db()
