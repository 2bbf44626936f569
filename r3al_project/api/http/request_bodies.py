"""What a request may hold: JSON of a sensible size and depth, fields that are known, numbers that are numbers."""

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

from core.errors import InputError, TooLarge

LARGEST_JSON = 64 * 1024
DEEPEST_JSON = 20
_LONGEST_NUMBER, _LONGEST_WHOLE = 40, 18  # characters; every column of whole numbers holds 18 digits
_LONGEST_NAME = 60
_NAMED = 5  # unknown fields that an error names
B = TypeVar("B", bound="StrictBody")


class StrictJsonParser(JSONParser):
    """JSON in UTF-8 up to ``LARGEST`` bytes and ``DEEPEST_JSON`` levels, its numbers finite and of a sensible length."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """Raises TooLarge or ParseError."""
        raw = stream.read(LARGEST_JSON + 1)
        if len(raw) > LARGEST_JSON:
            raise TooLarge(f"the body is larger than {LARGEST_JSON} bytes; a request here takes a few hundred")
        try:
            value = json.loads(raw.decode(), parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
        except RecursionError:
            raise ParseError(f"the body is nested deeper than {DEEPEST_JSON} levels") from None
        except ValueError as error:
            raise ParseError(f"the body is not JSON: {error}") from None
        if _is_deep(value):
            raise ParseError(f"the body is nested deeper than {DEEPEST_JSON} levels")
        return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if len(text) > _LONGEST_NUMBER or not math.isfinite(value):
        raise ValueError("a number in it is too long or too large")
    return value


def _whole(text: str) -> int:
    if len(text) > _LONGEST_WHOLE:
        raise ValueError("a number in it is too long or too large")
    return int(text)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST_JSON):
        inside = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, (dict, list))]
        level = [child for children in inside for child in children]
        if not level:
            return False
    return True


class FieldError(InputError):
    """A field whose value does not fit the record that it is about. The problem document names the field."""

    def __init__(self, field: str, said: str) -> None:
        super().__init__(said)
        self.members = {"errors": {field: [said]}}


class StrictBody(serializers.Serializer[Any]):
    """Fields of a body or of a query. A misspelt one is an error that names what may have been meant: left out in silence, its
    default would be taken for what was asked.
    """

    def to_internal_value(self, data: Any) -> Any:
        """Raises ValidationError that names every unknown field (the first few of many)."""
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                raise ValidationError({n[:_LONGEST_NAME]: [_meant(n, list(self.fields))] for n in unknown[:_NAMED]})
        return super().to_internal_value(data)


class EmptyBody(StrictBody):
    """The body of a request that needs none."""


class NumberField(serializers.FloatField):
    """A number; true and false are none."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        return float(super().to_internal_value(data))


class WholeField(serializers.IntegerField):
    """A whole number; true and false are none."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool):
            self.fail("invalid")
        return int(super().to_internal_value(data))


def _meant(name: str, known: Sequence[str]) -> str:
    if not known:
        return "is not known; this takes no fields"
    by_letters = {k.lower(): k for k in known}
    near = get_close_matches(name[:_LONGEST_NAME].lower(), by_letters, n=1)
    return (
        f"is not known; did you mean {by_letters[near[0]]}?" if near else f"is not known; known are {', '.join(known)}"
    )


def read_body(kind: type[B], request: Request) -> dict[str, Any]:
    """The checked fields of the body. Raises ValidationError."""
    return _checked(kind, request.data)


def read_query(kind: type[B], request: Request) -> dict[str, Any]:
    """The checked parameters of the address; the last of several of one name. Raises ValidationError."""
    return _checked(kind, request.query_params.dict())


def _checked(kind: type[B], data: Any) -> dict[str, Any]:
    body = kind(data=data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)
