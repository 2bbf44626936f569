"""Add up what a shadow does in each web process, and write the sums to the rows of their minutes.

No choice is kept. Comparisons are held back until ten of them can be added together, so that no row tells a single one.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import datetime
from typing import NamedTuple

from django.db import Error, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from core import clock
from deployments.models import ShadowMinute

log = logging.getLogger(__name__)
COMPARED_TOGETHER = 10
_Key = tuple[int, datetime]  # version, minute


class ShadowComparison(NamedTuple):
    """Hold how a shadow's greedy choice compares with that of the stable version."""

    agreed: bool
    intervened: bool
    stable_intervened: bool


class ShadowFigures:
    """Hold the sums of one process that are not written yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[_Key, Counter[str]] = {}
        self._slowest: dict[_Key, int] = {}
        self._held: dict[int, Counter[str]] = {}

    def add_dropped(self, version: int) -> None:
        """Count a decision for which there was no time."""
        self._add(version, dropped=1)

    def add_error(self, version: int) -> None:
        """Count a decision at which the shadow failed."""
        self._add(version, errors=1)

    def add_scored(self, version: int, *, seconds: float, budget: float, comparison: ShadowComparison) -> None:
        """Count a choice of the shadow, how long it took, and how it compares."""
        microseconds = int(seconds * 1e6)
        self._add(version, scored=1, late=int(seconds > budget), total_us=microseconds)
        with self._lock:
            key = (version, _minute())
            self._slowest[key] = max(self._slowest.get(key, 0), microseconds)
            held = self._held.setdefault(version, Counter())
            held.update(compared=1, **{name: int(told) for name, told in comparison._asdict().items()})
            if held["compared"] >= COMPARED_TOGETHER:
                self._sums.setdefault(key, Counter()).update(self._held.pop(version))

    def write(self) -> None:
        """Add the sums to the rows of their minutes. Sums that cannot be written are dropped, as a test can do without them."""
        with self._lock:
            sums, slowest = self._sums, self._slowest
            self._sums, self._slowest = {}, {}
        try:
            for key, counts in sums.items():
                _write(key, counts, slowest.get(key, 0))
        except Error as error:
            log.warning("figures of a shadow test could not be written: %s", type(error).__name__)

    def _add(self, version: int, **counts: int) -> None:
        with self._lock:
            self._sums.setdefault((version, _minute()), Counter()).update(counts)


def _minute() -> datetime:
    return clock.now().replace(second=0, microsecond=0)


@transaction.atomic
def _write(key: _Key, counts: Counter[str], slowest: int) -> None:
    version, minute = key
    row, _ = ShadowMinute.objects.get_or_create(version_id=version, minute=minute)
    ShadowMinute.objects.filter(pk=row.pk).update(
        **{name: F(name) + count for name, count in counts.items() if count},
        slowest_us=Greatest(F("slowest_us"), slowest),
    )
