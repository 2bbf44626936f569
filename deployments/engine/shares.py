"""Shares of traffic, as slots keep them."""

from __future__ import annotations

BASIS_POINTS = 10_000  # of a whole
