"""Rounded counts, for showing outside the trust boundary: an exact count would reveal whether one person is included."""

from __future__ import annotations


def two_digits(count: int) -> int:
    """Return the count rounded to two significant digits: 1,234 becomes 1,200. A count below 10 becomes 0 or 10."""
    step = 10
    while count >= 10 * step * 10:
        step *= 10
    return (count + step // 2) // step * step


def never_hidden(count: int) -> int:
    """Return the count as ``two_digits`` does, but 10 for 1 to 9: of rows that were rejected, none is hidden by rounding."""
    return 10 if 0 < count < 10 else two_digits(count)
