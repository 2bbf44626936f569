"""Let the lease of a job end, as it does when its worker is gone."""

from __future__ import annotations

import math

from django.db import connection

from jobs import leases
from jobs.lease_watch import WATCH
from jobs.models import Job


def lease_ends(job_id: int) -> None:
    """The lease's time passes: on the clock of PostgreSQL, or of this process, which watches the leases on SQLite."""
    running = Job.objects.filter(pk=job_id, state="running")
    running.update(lease_until=leases.from_now(-1))
    if connection.vendor == "sqlite":
        for lease in running.values_list("pk", "lease_token", "lease_until"):
            WATCH.since[lease] = -math.inf
