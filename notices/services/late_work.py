"""Tell operators which scheduled work is late, once for each time that it stops."""

from __future__ import annotations

from jobs.periodic_runs import runs_late
from notices.services.record import FRONT_PAGE, notice_record


def late_work_notices() -> int:
    """Record a notice for each watched task that is late. Returns the number of new ones."""
    return sum(
        notice_record(
            kind="worker_late",
            key=f"late {run.task} since {run.finished_at:%Y-%m-%dT%H:%M:%S.%f}",
            subject=run.title,
            facts={"cause": run.reason},
            link=FRONT_PAGE,
        )
        for run in runs_late()
    )
