"""Parse the text of one cell as a number or a flag. Errors never repeat the text, because it is personal data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from loops.engine.spec import DecimalMark

MISSING = frozenset({"", "na", "n/a", "null", "none"})
_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0", "1,0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0", "0,0"})
_COMMA = re.compile(r"\d,\d")
_ZERO_DECIMAL = re.compile(r"(?<=\d)[.,]0+\Z")


class RowError(Exception):
    """Report a rejected row: a reason code for counting, and a text that names the column but never the value."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


def quoted_list(names: Iterable[str]) -> str:
    """Join names in quotes, separated by commas."""
    return ", ".join(repr(n) for n in names)


def is_missing(text: str) -> bool:
    """Return whether a cell is empty or states that there is no value."""
    return not text or text.strip().lower() in MISSING


def parse_number(text: str, column: str, decimal: DecimalMark = ".") -> float:
    """Parse a finite number. An empty cell gives NaN.

    Args: decimal: what the file writes before the decimals. With a comma, a point is refused: it may separate thousands.
    Raises: RowError.
    """
    try:
        value = float(text if decimal == "." else _with_point(text))
    except ValueError:
        if is_missing(text):
            return math.nan
        raise RowError("not_a_number", f"column {column!r} is not a number{_decimal_hint(text, decimal)}") from None
    if not math.isfinite(value):
        raise RowError("not_finite", f"column {column!r} is not a finite number")
    if "_" in text:
        raise RowError("not_a_number", f"column {column!r} is not a number")
    return value


def without_zero_decimals(word: str) -> str:
    """Return a whole number that was written with decimals (2.0 or 2,0, from integer columns with gaps) without them."""
    return _ZERO_DECIMAL.sub("", word)


def _with_point(text: str) -> str:
    if "." in text:
        raise ValueError
    return text.replace(",", ".")


def _decimal_hint(text: str, decimal: DecimalMark) -> str:
    if decimal == "," and "." in text:
        return ' with a decimal comma, as decimal = "," says'
    return ' (a decimal comma needs decimal = "," in [import.csv])' if _COMMA.search(text) else ""


def parse_flag(text: str, column: str) -> bool:
    """Parse true or false in the usual spellings.

    Raises: RowError.
    """
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    if word in MISSING:
        raise RowError("missing_value", f"column {column!r} is empty")
    raise RowError("not_a_flag", f"column {column!r} is neither true nor false")
