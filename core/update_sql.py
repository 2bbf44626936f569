"""The text of an UPDATE as Django would send it, for statements that go on where an UPDATE ends."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.db.models.sql import UpdateQuery


def update_sql(rows: QuerySet[Any], values: dict[str, Combinable]) -> tuple[str, list[Any]] | None:
    """SQL and parameters of ``rows.update(**values)``; the rows' own order does not matter. None: no row can be meant."""
    query: UpdateQuery = rows.query.chain(UpdateQuery)  # type: ignore[assignment]
    query.add_update_values(values)
    query.clear_ordering(force=True)
    try:
        sql, parameters = query.get_compiler(connection=connection).as_sql()
    except EmptyResultSet:
        return None
    return sql, list(parameters)
