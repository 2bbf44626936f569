"""End a worker that is caught in a task: a process that runs one task at a time has no parent that could."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def process_ends_after(seconds: float | None) -> Iterator[None]:
    """Let the kernel end this process (SIGALRM) when the block takes longer, also inside native code that holds the interpreter.

    The supervisor starts the worker again. By then the job has failed at its soft limit, or its lease has ended.
    """
    if seconds is None:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
