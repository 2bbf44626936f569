"""Define the null world: interventions are liked and change nothing."""

from __future__ import annotations

from benchmarks.worlds.plain import PlainWorld


def null_world() -> PlainWorld:
    """Return the world in which no action has an effect."""
    return PlainWorld("null")
