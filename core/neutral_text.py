"""Keep a spreadsheet from running a text as a formula."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

_T = TypeVar("_T")

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER_OR_SPAN = re.compile(rf"{_NUMBER}(?:\.\.{_NUMBER})?\Z")


def neutral_text(text: str) -> str:
    """Return a text behind an apostrophe if it begins like a formula. A number and a span of numbers keep their sign.

    Source: OWASP, CSV injection.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER_OR_SPAN.match(text) else text


def with_neutral_spellings(values: Mapping[str, _T]) -> dict[str, _T]:
    """Return values by name, also under the neutral spelling of each name, so that an exported file can be read back."""
    return {neutral_text(name): value for name, value in values.items()} | dict(values)
