"""Check request bodies and queries: size and depth of the JSON, unknown fields, and numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from rest_framework import serializers
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

from core.errors import InputError, NotFound, TooLarge
from core.identifiers import LONGEST_IDENTIFIER, identifier_normalised
from loops.selectors import loop_version_current

LARGEST_JSON = 64 * 1024
DEEPEST_JSON = 20
_LONGEST_NUMBER, _LONGEST_WHOLE = 40, 18  # characters; every column of whole numbers holds 18 digits
LONGEST_NAME = 60
_MOST_NAMED = 5  # unknown fields that an error names
B = TypeVar("B", bound="StrictBody")


class StrictJsonParser(JSONParser):
    """Parse JSON in UTF-8 of up to ``LARGEST_JSON`` bytes and ``DEEPEST_JSON`` levels, finite numbers and no name twice."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """Return the parsed JSON. Raises TooLarge or ParseError."""
        raw = stream.read(LARGEST_JSON + 1)
        if len(raw) > LARGEST_JSON:
            raise TooLarge(f"the body is larger than {LARGEST_JSON} bytes; a request takes a few hundred")
        try:
            value = json.loads(
                raw.decode(), parse_constant=_reject_constant, parse_float=_finite_number, parse_int=_whole_number,
                object_pairs_hook=once_each,
            )  # fmt: skip
        except RecursionError:
            raise ParseError(f"the body is nested deeper than {DEEPEST_JSON} levels") from None
        except ValueError as error:
            raise ParseError(f"the body is not JSON: {error}") from None
        if _is_deep(value):
            raise ParseError(f"the body is nested deeper than {DEEPEST_JSON} levels")
        return value


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object. Raises ValueError for a name that it holds twice, since one of the values would be lost."""
    built = dict(pairs)
    if len(built) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it holds the name {twice[:LONGEST_NAME]!r} twice in one object")
    return built


def _reject_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite_number(text: str) -> float:
    value = float(text)
    if len(text) > _LONGEST_NUMBER or not math.isfinite(value):
        raise ValueError("it holds a number that is too long or too large")
    return value


def _whole_number(text: str) -> int:
    if len(text) > _LONGEST_WHOLE:
        raise ValueError("it holds a number that is too long or too large")
    return int(text)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST_JSON):
        inside = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, (dict, list))]
        level = [child for children in inside for child in children]
        if not level:
            return False
    return True


class StrictBody(serializers.Serializer[Any]):
    """Fields of a body or of a query. An unknown field is an error that suggests the closest known one.

    If a misspelt field were ignored, its default would silently replace the value that the caller sent.
    """

    def to_internal_value(self, data: Any) -> Any:
        """Return the checked fields. Raises ValidationError that names the first few unknown fields."""
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                raise ValidationError(
                    {n[:LONGEST_NAME]: [suggestion(n, list(self.fields))] for n in unknown[:_MOST_NAMED]}
                )
        return super().to_internal_value(data)


class EmptyBody(StrictBody):
    """A body without fields."""


class TextField(serializers.CharField):
    """A text. Numbers are rejected: ``0`` and ``"0"`` could otherwise be two people in one place and one in another."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class IdentifierField(TextField):
    """A person's identifier, which is normalised (``core.identifiers``)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=LONGEST_IDENTIFIER, **options)

    def to_internal_value(self, data: Any) -> str:
        try:
            return identifier_normalised(super().to_internal_value(data))
        except InputError as error:
            raise ValidationError(str(error)) from None


class LoopField(TextField):
    """The name of a loop in a query. A list of an unknown loop would be empty, and its misspelt name would go unnoticed."""

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        try:
            return loop_version_current(name).loop.name
        except NotFound as error:
            raise ValidationError(str(error)) from None


class FlagField(serializers.BooleanField):
    """True or false. Texts and numbers such as ``"yes"`` and ``1`` are rejected."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return bool(data)


class NumberField(serializers.FloatField):
    """A number. True and false are rejected."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        return float(super().to_internal_value(data))


class WholeField(serializers.IntegerField):
    """A whole number. True and false are rejected."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class OneOfField(serializers.ChoiceField):
    """One of a few texts. The error of any other value lists them."""

    def to_internal_value(self, data: Any) -> Any:
        if (isinstance(data, str) and data in self.choices) or (data == "" and self.allow_blank):
            return data
        raise ValidationError(
            f"{str(data)[:LONGEST_NAME]!r} is not known; use one of {', '.join(map(str, self.choices))}"
        )


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return a sentence about an unknown name: the known one that it is nearest to, or else all of them."""
    if not known:
        return "is not known; this request takes no fields"
    by_letters = {k.lower(): k for k in known}
    near = get_close_matches(name[:LONGEST_NAME].lower(), by_letters, n=1)
    return (
        f"is not known; did you mean {by_letters[near[0]]}?"
        if near
        else f"is not known; the fields are {', '.join(known)}"
    )


def read_body(kind: type[B], request: Request) -> dict[str, Any]:
    """Return the checked fields of the body. Raises ValidationError."""
    return _checked(kind, request.data)


def read_query(kind: type[B], request: Request) -> dict[str, Any]:
    """Return the checked query parameters. Raises ValidationError for a name that is unknown or occurs twice."""
    given = request.query_params
    twice = [name for name, values in given.lists() if len(values) > 1]
    if twice:
        raise ValidationError({n[:LONGEST_NAME]: ["is given twice; give it once"] for n in twice[:_MOST_NAMED]})
    return _checked(kind, given.dict())


def _checked(kind: type[B], data: Any) -> dict[str, Any]:
    body = kind(data=data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)
