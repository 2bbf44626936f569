"""Provide the abstract base classes of the database models."""

from __future__ import annotations

from typing import Any

from django.db import models

from core import clock


class CreationTime(models.DateTimeField):  # type: ignore[type-arg]
    """Hold the time at which a row was written, by the services' clock. Nobody can give another one.

    To migrations it is the plain field with ``auto_now_add``: the column is the same, and a changed one would write each
    table anew.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"auto_now_add": True})

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        """Describe the plain field."""
        name, _, arguments, options = super().deconstruct()
        return name, "django.db.models.DateTimeField", list(arguments), dict(options)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return the present time for a new row, else the stored one."""
        if add:
            setattr(model_instance, self.attname, clock.now())
        return getattr(model_instance, self.attname)


class Created(models.Model):
    """Add the creation time to a model."""

    created_at = CreationTime(editable=False)

    class Meta:
        abstract = True
