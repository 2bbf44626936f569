"""Define durations in seconds, the retention periods of data about people, and how far two clocks may differ."""

from __future__ import annotations

from datetime import timedelta

MINUTE, HOUR, DAY = 60, 3_600, 86_400
WEEK = 7 * DAY
RECORDS_KEPT = timedelta(days=90)  # records of people, exports and tables made from them, and health checks
ANSWERS_KEPT = timedelta(days=1)  # answers to requests with an Idempotency-Key; no client retries later than this
NOTICES_KEPT = timedelta(days=90)  # notices to operators, and what became of each
CLOCK_TOLERANCE = timedelta(minutes=2)  # by which a stored time may lie ahead: a machine's clock may have been set back
