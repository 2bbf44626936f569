"""The text of an UPDATE as Django would send it, for statements that go on where an UPDATE ends."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.db.models.sql import UpdateQuery


def update_sql(rows: QuerySet[Any], values: dict[str, Combinable]) -> tuple[str, list[Any]]:
    """SQL and parameters of ``rows.update(**values)``; the rows' own order does not matter."""
    query: UpdateQuery = rows.query.chain(UpdateQuery)  # type: ignore[assignment]
    query.add_update_values(values)
    query.clear_ordering(force=True)
    sql, parameters = query.get_compiler(connection=connection).as_sql()
    return sql, list(parameters)
