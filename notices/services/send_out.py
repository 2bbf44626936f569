"""Queue the deliveries of new notices: one for each webhook that hears them, and one by e-mail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from jobs.leases import from_now
from notices.engine.kinds import NOTICE_KINDS, WARNING, levels_from
from notices.models import Delivery, Notice, WebhookEndpoint

_CHUNK = 100


def notices_send_out() -> int:
    """Queue the deliveries of every notice that has none yet. Returns the number of deliveries.

    It reads what is committed, so it never tells of what may still be rolled back. Several workers may call it at once.
    """
    queued = 0
    while (found := _chunk()) is not None:
        queued += found
    return queued


@transaction.atomic
def _chunk() -> int | None:
    """Queue the deliveries of some notices. Returns their number, or None when no notice is left."""
    waiting = list(Notice.objects.filter(sent_out_at__isnull=True).order_by("pk")[:_CHUNK])
    if not waiting:
        return None
    # Locked, so that none is deleted before its deliveries are committed.
    endpoints = list(WebhookEndpoint.objects.select_for_update(no_key=True).filter(enabled=True).order_by("pk"))
    taken = [n for n in waiting if Notice.objects.filter(pk=n.pk, sent_out_at__isnull=True).update(sent_out_at=Now())]
    rows = [delivery for notice in taken for delivery in _deliveries(notice, endpoints)]
    return len(Delivery.objects.bulk_create(rows))


def _deliveries(notice: Notice, endpoints: Iterable[WebhookEndpoint]) -> Iterator[Delivery]:
    kind = NOTICE_KINDS.get(notice.kind)
    if kind is not None and not kind.announced:
        return
    for endpoint in endpoints:
        if notice.level in levels_from(endpoint.least_level) and (not endpoint.kinds or notice.kind in endpoint.kinds):
            yield Delivery(notice=notice, endpoint=endpoint, next_attempt_at=from_now(0))
    if settings.R3AL_NOTICE_EMAILS and notice.level in levels_from(WARNING):
        yield Delivery(notice=notice, endpoint=None, next_attempt_at=from_now(0))
