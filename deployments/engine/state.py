"""The state that a decision is made in, composed of what is known of the person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time

from loops.engine.state.scalar import ScalarDynamics


def compose_state(
    points: ScalarDynamics, said: Sequence[float], heard: Sequence[float] | None, before: Sequence[float] | None,
    *, at: time, intervened: bool, same_day: bool,
) -> tuple[list[float], Sequence[float]]:  # fmt: skip
    """The state, and what is kept as heard: F numbers each, NaN where nothing is known.

    The state is what the app says now (``said``); else what follows from the person's time of day ``at`` and the last decision
    (its state ``before``, whether it ``intervened``, whether it was on the ``same_day``); else what was ``heard`` lately.
    """
    state = list(said)
    points.fill(state, before, intervened=intervened, same_day=same_day, at=at)
    return (state, said) if heard is None else (fill_missing(state, heard), fill_missing(said, heard))


def fill_missing(newer: Sequence[float], older: Sequence[float]) -> list[float]:
    """Numbers, and where they are not known (NaN) the older ones."""
    return [a if a == a else b for a, b in zip(newer, older, strict=True)]
