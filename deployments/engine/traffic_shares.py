"""Define the unit of traffic shares in serving slots."""

from __future__ import annotations

BASIS_POINTS = 10_000  # in a whole
