"""One person has one identifier, however it is spelled; what cannot be told apart by eye is refused."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.identifiers import LONGEST_IDENTIFIER, earlier_spellings, identifier_normalised


@pytest.mark.parametrize(
    ("spelled", "normal"),
    [
        ("ann", "ann"),
        (" ann\t", "ann"),
        ("\u00a0ann\u3000", "ann"),
        ("\uff11\uff12", "12"),  # full-width digits
        ("Ame\u0301lie", "Am\u00e9lie"),
        ("\ufb01nn", "finn"),  # a ligature
        ("12.0", "12"),
        ("12.000", "12"),
        ("-3.0", "-3"),
        ("\uff11\uff12.0", "12"),
        ("12.5", "12.5"),
        ("012", "012"),  # a text of digits, which no program writes for a number
        ("v1.0", "v1.0"),
        ("12345e67", "12345e67"),  # hexadecimal digits
        ("x" * 200, "x" * 200),
        ("e\u0301" * 200, "\u00e9" * 200),
    ],
)
def test_spellings_of_one_identifier_are_one(spelled: str, normal: str) -> None:
    assert identifier_normalised(spelled) == normal


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\u3000", "x" * 201, "e\u0301" * 201, "x" * 100_000,
        "a\0b", "a\nb", "a\u200bb", "a\u200db", "a\ufeffb", "a\u202eb",
        "a\u00adb", "a\u2028b", "a\ufe0fb", "a\u3164b", "a\u034fb", "\ud800", "1.2E+15", "1.5e15", "1e+16",
    ],
)  # fmt: skip
def test_what_is_empty_too_long_invisible_or_rounded_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="a person's identifier"):
        identifier_normalised(text)


@given(st.text(max_size=LONGEST_IDENTIFIER))
def test_a_normal_identifier_is_normal(text: str) -> None:
    try:
        normal = identifier_normalised(text)
    except InputError:
        return
    assert identifier_normalised(normal) == normal and 0 < len(normal) <= LONGEST_IDENTIFIER
    assert normal not in earlier_spellings(text)


@pytest.mark.parametrize(
    ("text", "earlier"),
    [
        ("ann", ()),
        ("12", ("12.0",)),
        ("12.0", ("12.0",)),
        (" \uff11\uff12", ("\uff11\uff12", "12.0")),
        ("\u00e9", (unicodedata.normalize("NFD", "\u00e9"),)),
    ],
)
def test_how_an_identifier_may_have_been_stored_before(text: str, earlier: tuple[str, ...]) -> None:
    assert earlier_spellings(text) == earlier
