"""Normalise the identifiers by which apps and files name people. Every door uses this one function, so one person stays one."""

from __future__ import annotations

import re
import unicodedata

from core.errors import InputError

LONGEST_IDENTIFIER = 200
_FIELD = "userId"  # as the API names it
_LONGEST_GIVEN = 2_000  # normalising shortens some texts, but never a person's identifier to a tenth
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,200}")  # most identifiers: normal as they are
_WHOLE_FLOAT = re.compile(r"(-?[0-9]+)\.0+")  # a column of whole numbers that a program wrote as floats
_SCIENTIFIC = re.compile(r"-?[0-9]+(\.[0-9]+[eE][+-]?|[eE]\+)[0-9]+")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Letters and marks that show nothing, as Unicode's property Default_Ignorable_Code_Point lists them outside those categories.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def identifier_normalised(text: str) -> str:
    """Return a person's identifier in its normal form: NFKC (Unicode Annex 15), without blanks at its ends.

    A whole number written as a float (``12.0``) gives the number (``12``). Raises InputError for an identifier that has no or
    more than 200 characters, that holds an invisible character, or that is a number whose digits were rounded away.
    """
    if _PLAIN.fullmatch(text):
        return text
    normal = unicodedata.normalize("NFKC", text[: _LONGEST_GIVEN + 1]).strip()
    if not normal or len(text) > _LONGEST_GIVEN or len(normal) > LONGEST_IDENTIFIER:
        raise InputError(f"a person's identifier (userId) has 1 to {LONGEST_IDENTIFIER} characters", field=_FIELD)
    if _INVISIBLE.search(normal) or any(unicodedata.category(c) in _INVISIBLE_CATEGORIES for c in normal):
        raise InputError(
            "a person's identifier (userId) holds a control character or one that nobody sees; leave it out",
            field=_FIELD,
        )
    if _SCIENTIFIC.fullmatch(normal):
        raise InputError(
            "a person's identifier (userId) is a rounded number such as 1.2E+15; write all of its digits", field=_FIELD
        )
    whole = _WHOLE_FLOAT.fullmatch(normal)
    return whole[1] if whole else normal


def earlier_spellings(text: str) -> tuple[str, ...]:
    """Return the other spellings of an identifier under which it may have been stored before identifiers were normalised."""
    normal = identifier_normalised(text)
    spellings = [text.strip(), unicodedata.normalize("NFD", normal)]
    if normal.removeprefix("-").isdecimal():
        spellings.append(f"{normal}.0")
    return tuple(dict.fromkeys(s for s in spellings if s != normal))
