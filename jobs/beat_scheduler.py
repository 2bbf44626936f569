"""Send scheduled tasks also after the machine's clock was set back, when stored times of the last runs have not come yet."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from celery.schedules import schedstate
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from core.durations import CLOCK_TOLERANCE


class ClockProofEntry(ModelEntry):
    """A schedule whose last run counts only if its time has come."""

    def is_due(self) -> schedstate:
        """Return whether to send the task now, and the seconds until the next look.

        A last run in the future is no evidence of a run. A task of an interval is then due at once. One of a time of the day
        waits for that time, counted from now.
        """
        now: datetime = self._default_now()
        if self.model.last_run_at > now + CLOCK_TOLERANCE:
            interval = getattr(self.schedule, "run_every", timedelta())
            self.last_run_at = self.model.last_run_at = now - interval
        due: schedstate = super().is_due()
        return due


class ClockProofScheduler(DatabaseScheduler):
    """The scheduler that ``CELERY_BEAT_SCHEDULER`` names."""

    Entry = ClockProofEntry
    _offset: float | None = None  # of the machine's clock from the monotonic one, in seconds

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, and return the seconds until the next look.

        The order of the next runs and the time of the last reading are times of the machine's clock. When it was set, the
        schedules are read and ordered again.
        """
        offset = time.time() - time.monotonic()
        before, self._offset = self._offset, offset
        if before is not None and abs(offset - before) > CLOCK_TOLERANCE.total_seconds():
            self._initial_read, self._heap = True, None
        return float(super().tick(*args, **kwargs))
