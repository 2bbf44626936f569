"""Base classes of the database records."""

from __future__ import annotations

from django.db import models


class Created(models.Model):
    """A record that knows when it was made."""

    created_at = models.DateTimeField(auto_now_add=True, editable=False)

    class Meta:
        abstract = True
