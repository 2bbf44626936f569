"""Judge leases by how long they stay unchanged, on the monotonic clock of the process that watches them.

SQLite has no clock of its own: each process asks the machine's, which may be set while jobs run. So may PostgreSQL's. A lease
that then ends later than a lease lasts is watched too. A monotonic clock is never set. It stands still while the machine sleeps,
as the workers do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime

from django.conf import settings

Lease = tuple[int, str, datetime]  # a job's id, its token, and the expiry that its worker wrote last


class LeaseWatch:
    """Remember since when each lease is as it is. ``since`` holds monotonic seconds."""

    def __init__(self) -> None:
        self.since: dict[Lease, float] = {}

    def silent(self, running: Iterable[Lease]) -> list[Lease]:
        """Look at the leases of all running jobs. Returns those that no worker renewed for as long as a lease lasts."""
        now = time.monotonic()
        self.since = {lease: self.since.get(lease, now) for lease in running}
        return [lease for lease, since in self.since.items() if now - since >= settings.R3AL_JOB_LEASE_SECONDS]


WATCH = LeaseWatch()
