"""Define the two head names with a fixed role. Everything else about a head comes from its loop file.

A loop file declares any number of heads with any names. Only these two names have a meaning in the platform:

- ``policy`` is the main head. It decides whether to intervene, so every loop has it and it decides at every available point.
  The other heads are the sub-heads. Most of them decide only when the main head intervenes.
- ``timing`` chooses when to intervene. Where a loop has it, the reward's ``best_delay`` refers to its actions.

The reward's components ``empathy`` and ``timing`` (``loops.engine.reward.COMPONENTS``) are measurements, not heads. Every loop
has them, whatever the names of its heads.
"""

from __future__ import annotations

from collections.abc import Collection

MAIN_HEAD = "policy"
TIMING_HEAD = "timing"


def timing_head(names: Collection[str]) -> str:
    """Return the name of the head whose actions have a best delay: ``timing`` if the loop has it, else the main head."""
    return TIMING_HEAD if TIMING_HEAD in names else MAIN_HEAD
