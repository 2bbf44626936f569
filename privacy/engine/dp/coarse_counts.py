"""Counts as they are shown outside the vault: an exact one would tell whether one person is in it."""

from __future__ import annotations


def two_digits(count: int) -> int:
    """The count to two digits: 1,234 is 1,200; below 10 it is 0 or 10."""
    step = 10
    while count >= 10 * step * 10:
        step *= 10
    return (count + step // 2) // step * step
