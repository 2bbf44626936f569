"""Join texts into sentences."""

from __future__ import annotations


def sentence(text: str) -> str:
    """Return a text with one mark at its end: the one that it has, or else a full stop."""
    trimmed = text.strip()
    return trimmed if trimmed.endswith(("!", "?")) or not trimmed else f"{clause(trimmed)}."


def clause(text: str) -> str:
    """Return a text without a full stop at its end, so that a sentence can go on after it."""
    return text.strip().rstrip(".")
