"""Define the states of a rollout and the transitions between them, as one table. Services change states only along it."""

from __future__ import annotations

from collections.abc import Mapping

ACTIVE_STATES = ("pending", "in_progress", "paused")
TRANSITIONS: Mapping[str, tuple[str, ...]] = {
    "pending": ("in_progress", "aborted", "failed"),
    "in_progress": ("paused", "succeeded", "rolled_back", "aborted", "failed"),
    "paused": ("in_progress", "succeeded", "rolled_back", "aborted", "failed"),
    "succeeded": ("rolled_back",),  # a version that went to everybody can still be taken back
    "rolled_back": (),
    "aborted": (),
    "failed": (),
}


def states_before(state: str) -> tuple[str, ...]:
    """Return the active states from which a rollout may enter a state. Raises KeyError for an unknown state."""
    if state not in TRANSITIONS:
        raise KeyError(state)
    return tuple(before for before in ACTIVE_STATES if state in TRANSITIONS[before])
