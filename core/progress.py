"""Define the callback with which long computations report progress."""

from __future__ import annotations

from collections.abc import Callable

ReportProgress = Callable[[float, str], None]  # the completed share (0 to 1) and a message for the user


def no_progress(share: float, message: str) -> None:
    """Discard the progress report."""
