"""Configure garbage collection for long-lived processes."""

from __future__ import annotations

import gc

_THRESHOLDS = (
    10_000,
    20,
    50,
)  # a request makes few cycles; CPython's (700, 10, 10) would collect several times per decision


def freeze_garbage_collector() -> None:
    """Exclude the imported modules from every collection, and collect less often. Call this once, at process start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
