"""Declare the base of every answer's shape, build pages of a list, and convert snake_case to the API's camelCase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

Answer = dict[str, Any]


class Shape(serializers.Serializer[Any]):
    """The shape of an answer. A field is always present, though it may be null, unless it is declared as not required."""

    def get_fields(self) -> dict[str, Any]:
        """Return the fields by their names in the answer. ``from_`` stands for ``from``, a reserved word of Python."""
        return {name.rstrip("_"): field for name, field in super().get_fields().items()}


def nullable_number(**more: Any) -> serializers.FloatField:
    """Return a field for a number that may be unknown."""
    return serializers.FloatField(allow_null=True, **more)


class PageAnswer(Shape):
    """One page of a list, newest first. ``next`` is the address of the page with older entries."""

    next = serializers.URLField(allow_null=True, help_text="Null: this is the last page.")


def page_answer(next_page: str | None, results: list[Answer]) -> Answer:
    """Build one page of a list from its entries and the address of the next page."""
    return {"next": next_page, "results": results}


def camel_keys(facts: Any) -> Any:
    """Rename all keys of nested facts to camelCase.

    Only for facts whose keys the product chooses: a name from a loop file must stay as it is.
    """
    if isinstance(facts, Mapping):
        return {_camel(name): camel_keys(value) for name, value in facts.items()}
    return [camel_keys(fact) for fact in facts] if isinstance(facts, (list, tuple)) else facts


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
