"""The base of every shape of an answer, pages of a list, and the way from snake_case to the API's camelCase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.pagination import PageNumberPagination

Answer = dict[str, Any]


class Shape(serializers.Serializer[Any]):
    """Everything that an answer has is there every time, if perhaps null, unless said otherwise."""

    def get_fields(self) -> dict[str, Any]:
        """Return the fields by their names in the answer: ``from_`` stands for ``from``, which Python keeps for itself."""
        return {name.rstrip("_"): field for name, field in super().get_fields().items()}


def nullable_number(**more: Any) -> serializers.FloatField:
    """Return a field for a number that may be unknown."""
    return serializers.FloatField(allow_null=True, **more)


class PageAnswer(Shape):
    """One page of a list, newest first; ``next`` and ``previous`` are addresses."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)


def page_answer(pages: PageNumberPagination, results: list[Answer]) -> Answer:
    """Build one page of a list from its entries; ``pages`` has cut it out."""
    page: Answer = pages.get_paginated_response(results).data
    return page


def camel_keys(facts: Any) -> Any:
    """Rename all keys of nested facts to camelCase. Only for facts of which the product names every key."""
    if isinstance(facts, Mapping):
        return {_camel(name): camel_keys(value) for name, value in facts.items()}
    return [camel_keys(one) for one in facts] if isinstance(facts, (list, tuple)) else facts


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
