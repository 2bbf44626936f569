"""Read notices: those that an operator has not seen, and the list in pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Subquery
from django.db.models.functions import Coalesce

from core import clock
from core.errors import NotFound
from notices.models import Notice, NoticeSeen, WebhookEndpoint

BELL_DAYS = timedelta(days=30)
MOST_COUNTED = 100  # beyond it nobody reads the number


@dataclass(frozen=True)
class NoticePage:
    """Some notices, newest first. ``older``: the number before which the next page begins (None: no older ones)."""

    notices: list[Notice]
    older: int | None


def notices_unseen(user_id: int) -> int:
    """Return how many notices of the last 30 days an operator has not seen, at most ``MOST_COUNTED``. One query."""
    seen = NoticeSeen.objects.filter(user=user_id).values("last_seen")[:1]
    recent = Notice.objects.filter(created_at__gte=clock.now() - BELL_DAYS)
    return recent.filter(pk__gt=Coalesce(Subquery(seen), 0))[:MOST_COUNTED].count()


def last_seen(user_id: int) -> int:
    """Return the number of the newest notice that an operator has seen, or 0."""
    return NoticeSeen.objects.filter(user=user_id).values_list("last_seen", flat=True).first() or 0


def notices_page(*, before: int | None = None, size: int = 50) -> NoticePage:
    """Return the newest notices, or those before one. Pages stay put while new notices come."""
    rows = Notice.objects.order_by("-pk")
    found = list((rows if before is None else rows.filter(pk__lt=before))[: size + 1])
    return NoticePage(found[:size], found[size - 1].pk if len(found) > size else None)


def webhook_named(name: str) -> WebhookEndpoint:
    """Find a webhook by name. Raises NotFound that lists the names."""
    endpoint = WebhookEndpoint.objects.filter(name=name).first()
    if endpoint is None:
        names = ", ".join(WebhookEndpoint.objects.order_by("name").values_list("name", flat=True))
        raise NotFound(
            f"there is no webhook {name!r}; " + (f"choose one of: {names}" if names else "add one in the admin first")
        )
    return endpoint
