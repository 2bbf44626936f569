"""Judge stored times although the machine's clock may be set back: until it was, it stored times that have not come yet."""

from __future__ import annotations

from datetime import timedelta

CLOCK_TOLERANCE = timedelta(minutes=2)  # by which a stored time may lie ahead: two machines' clocks differ
