"""Durations, in seconds, and how long what is kept of people is kept."""

from __future__ import annotations

from datetime import timedelta

MINUTE, HOUR, DAY = 60, 3_600, 86_400
WEEK = 7 * DAY
RECORDS_KEPT = timedelta(days=90)  # records of people, what was exported or made of them, and looks at health
ANSWERS_KEPT = timedelta(days=1)  # of requests with an Idempotency-Key: no retry comes later
