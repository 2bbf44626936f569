"""Compose the state in which a decision is made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time

from loops.engine.state.scalar import ScalarDynamics


def compose_state(
    dynamics: ScalarDynamics, given: Sequence[float], reported: Sequence[float] | None, before: Sequence[float] | None,
    *, at: time, intervened: bool, same_day: bool,
) -> tuple[list[float], Sequence[float]]:  # fmt: skip
    """Compose a state of F numbers, NaN where nothing is known, from the first source that knows a feature.

    Args:
        given: F numbers from the app's request, the first source.
        before: F numbers, the state at the last decision. With ``at``, ``intervened`` and ``same_day`` it gives the features
            with known dynamics, the second source.
        reported: F numbers from the app's recent reports, the last source. None means that there are none.
        at: the person's time of day.
        intervened: whether the last decision intervened.
        same_day: whether the last decision was on the same day.
    Returns: the state, and the F reported numbers to store for later decisions.
    """
    state = list(given)
    dynamics.fill(state, before, intervened=intervened, same_day=same_day, at=at)
    return (state, given) if reported is None else (fill_missing(state, reported), fill_missing(given, reported))


def fill_missing(newer: Sequence[float], older: Sequence[float]) -> list[float]:
    """Replace each NaN in ``newer`` by the number in ``older``."""
    return [a if a == a else b for a, b in zip(newer, older, strict=True)]
