"""What a request's body may hold: the fields that are named and nothing else, numbers that are numbers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class StrictBody(serializers.Serializer[Any]):
    """A misspelt field is an error: left out in silence, its default would be taken for what was asked."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            known = ", ".join(self.fields)
            raise serializers.ValidationError({name: [f"this is no field; there are {known}"] for name in unknown})
        return super().to_internal_value(data)


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
