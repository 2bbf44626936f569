"""Limits of a turn's parameters, for the page and the API."""

from __future__ import annotations

FEWEST_STATES, MOST_STATES = 200, 100_000  # states to draw transitions from; with fewer a fit is not reliable
DEFAULT_EPSILON = 1.0  # of each of a turn's two releases
MOST_EPOCHS = 10_000  # sweeps of fitted Q-iteration
