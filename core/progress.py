"""How long computations report where they are."""

from __future__ import annotations

from collections.abc import Callable

ReportProgress = Callable[[float, str], None]  # a share done (0 to 1) and a line for people


def no_progress(share: float, message: str) -> None:
    """Report to nobody."""
