"""How a long-lived process collects garbage."""

from __future__ import annotations

import gc

_THRESHOLDS = (10_000, 20, 50)  # a request makes few cycles: CPython's (700, 10, 10) would look some times a decision


def freeze_garbage_collector() -> None:
    """Set what was imported aside, so that no collection walks through it, and collect less often. Call it once, at the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
