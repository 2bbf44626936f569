"""What an operator does by hand: send a test to a webhook, and try again what was given up."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from time import monotonic

from django.utils import timezone

from jobs.leases import from_now
from notices.models import Delivery, DeliveryState, WebhookEndpoint
from notices.services.webhook_post import PostResult, message_signed, webhook_post


@dataclass(frozen=True)
class WebhookAnswer:
    """What a webhook did with a test, and the seconds that it took."""

    result: PostResult
    seconds: float


def webhook_test(endpoint: WebhookEndpoint) -> WebhookAnswer:
    """Send a test now, also to a webhook that is switched off. Nothing is stored."""
    now, began = timezone.now(), monotonic()
    data = {"sentence": f"This is a test of the webhook {endpoint.name}. Nothing happened."}
    message = f"msg_test_{uuid.uuid4().hex}"
    result = webhook_post(message_signed(endpoint, message=message, type="test", at=now, data=data, now=now))
    return WebhookAnswer(result, monotonic() - began)


def deliveries_retry(endpoint: WebhookEndpoint | None = None) -> int:
    """Queue again what was given up, with all its attempts: of one webhook, or of every way. Returns the number."""
    given_up = Delivery.objects.filter(state=DeliveryState.GIVEN_UP)
    if endpoint is not None:
        given_up = given_up.filter(endpoint=endpoint)
    return given_up.update(state=DeliveryState.PENDING, attempts=0, next_attempt_at=from_now(0), finished_at=None)
