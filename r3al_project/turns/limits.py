"""Limits of a turn's parameters, for the page and the API, and how many states it draws from unless somebody says."""

from __future__ import annotations

# Without a number given: a request over the API or the page takes settings.DEFAULT_SYNTHETIC_SAMPLES, by the blueprint
# 1,000. A turn without a request (schedule, run_loop, demo) takes 3,000, on which the benchmarks measure.
UNREQUESTED_STATES = 3_000
FEWEST_STATES, MOST_STATES = 200, 100_000  # states to draw transitions from; with fewer a fit is not reliable
DEFAULT_EPSILON = 1.0  # of a turn: what its two releases together spend of a person
MOST_EPOCHS = 10_000  # sweeps of fitted Q-iteration
