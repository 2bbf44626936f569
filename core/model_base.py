"""Provide the abstract base classes of the database models."""

from __future__ import annotations

from django.db import models


class Created(models.Model):
    """Add the creation time to a model."""

    created_at = models.DateTimeField(auto_now_add=True, editable=False)

    class Meta:
        abstract = True
