"""Names the types of raw records: what an app sends, and what a request for an anonymisation chooses among."""

from __future__ import annotations

DATA_TYPES = ("pulse", "emotion", "interaction", "feature", "categorical")
