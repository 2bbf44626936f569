"""Count decision latencies in each web process, and write them to the row of their minute every two seconds.

A latency includes the commit.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime

from django.db import Error, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from core import clock
from deployments.models import LatencyMinute
from loops.engine.thresholds import LATENCY_BAR_MS, SLOWER_MS

log = logging.getLogger(__name__)
WRITE_SECONDS = 2.0
Key = tuple[int, int, datetime]  # loop, version of the policy head, minute


@dataclass
class _Counts:
    requests: int = 0
    over_200: int = 0
    over_250: int = 0
    total: int = 0
    slowest: int = 0


_lock = threading.Lock()
_counts: dict[Key, _Counts] = {}
_written = time.monotonic()


def latency_count(*, loop_id: int, version_id: int, seconds: float) -> None:
    """Count one answered request, and write all counts if the last write was more than two seconds ago.

    ``seconds`` is the latency. ``version_id`` is the policy head's version.
    """
    global _written
    key = (loop_id, version_id, clock.now().replace(second=0, microsecond=0))
    microseconds = int(seconds * 1e6)
    with _lock:
        counts = _counts.setdefault(key, _Counts())
        counts.requests += 1
        counts.over_200 += microseconds > LATENCY_BAR_MS * 1_000
        counts.over_250 += microseconds > SLOWER_MS * 1_000
        counts.total += microseconds
        counts.slowest = max(counts.slowest, microseconds)
        due = time.monotonic() - _written > WRITE_SECONDS
        if due:
            _written = time.monotonic()
    if due:
        latency_write()


def latency_write() -> None:
    """Add this process's counts to the rows of their minutes.

    Counts that cannot be written are dropped, because they are not worth a failed request.
    """
    with _lock:
        unwritten = dict(_counts)
        _counts.clear()
    try:
        for key, counts in unwritten.items():
            _add(key, counts)
    except Error as error:
        log.warning("latencies could not be written: %s", type(error).__name__)


@transaction.atomic
def _add(key: Key, counts: _Counts) -> None:
    loop_id, version_id, minute = key
    row, _ = LatencyMinute.objects.get_or_create(loop_id=loop_id, version_id=version_id, minute=minute)
    LatencyMinute.objects.filter(pk=row.pk).update(
        requests=F("requests") + counts.requests,
        over_200_ms=F("over_200_ms") + counts.over_200,
        over_250_ms=F("over_250_ms") + counts.over_250,
        total_us=F("total_us") + counts.total,
        slowest_us=Greatest(F("slowest_us"), counts.slowest),
    )
