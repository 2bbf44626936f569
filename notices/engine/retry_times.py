"""When a delivery is tried again. Source: Standard Webhooks, which recommends these ten attempts over three days."""

from __future__ import annotations

from core.durations import HOUR, MINUTE

# Seconds between one attempt and the next.
PAUSES = (5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
ATTEMPTS = len(PAUSES) + 1
JITTER = 0.2  # of the pause, at most, so that a receiver that comes back is not met by everything at once


def pause_after(attempts: int, chance: float) -> float | None:
    """Return the seconds to wait after so many attempts, or None when they were all.

    Args: chance: a uniform draw from [0, 1).
    """
    if attempts >= ATTEMPTS:
        return None
    return PAUSES[attempts - 1] * (1 + JITTER * chance)
