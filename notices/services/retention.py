"""Delete notices after ``NOTICES_KEPT``, with what became of each."""

from __future__ import annotations

from core import clock
from core.durations import NOTICES_KEPT
from notices.models import Notice

_EXPIRE_CHUNK = 1_000


def notices_expire() -> int:
    """Delete old notices and their deliveries, in chunks that each commit. Returns the number of notices."""
    old, deleted = Notice.objects.filter(created_at__lt=clock.now() - NOTICES_KEPT), 0
    while pks := list(old.order_by("pk").values_list("pk", flat=True)[:_EXPIRE_CHUNK]):
        Notice.objects.filter(pk__in=pks).delete()
        deleted += len(pks)
    return deleted
