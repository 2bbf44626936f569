"""What may be asked of a turn, on the page and over the API."""

from __future__ import annotations

FEWEST_STATES, MOST_STATES = 200, 100_000  # states to draw transitions from; on fewer no fit holds
DEFAULT_EPSILON = 1.0  # of each of a turn's two releases: the blueprint's budget of one training
MOST_EPOCHS = 10_000  # sweeps of fitted Q-iteration
