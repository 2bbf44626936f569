"""The two head names that have a role. All else about a head comes from its loop file.

A loop file declares any number of heads under any names. Only these two names mean something to the platform:

- ``policy`` is the main head. It decides whether to intervene, so every loop has it and it always speaks. The other heads
  are the sub-heads; most of them speak only when the main head intervenes.
- ``timing`` says when to intervene. Its actions are the ones that the reward's ``best_delay`` names, where a loop has it.

The reward's components ``empathy`` and ``timing`` (``loops.engine.reward.COMPONENTS``) are measurements, not heads. Every loop
has them, whatever its heads are called.
"""

from __future__ import annotations

from collections.abc import Collection

MAIN_HEAD = "policy"
TIMING_HEAD = "timing"


def timing_head(names: Collection[str]) -> str:
    """Name the head whose actions have a best delay: ``timing`` where the loop has it, otherwise the main head."""
    return TIMING_HEAD if TIMING_HEAD in names else MAIN_HEAD
