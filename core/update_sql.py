"""Compile the SQL of a Django UPDATE, for statements that embed it or extend it (for example with RETURNING)."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.db.models.sql import UpdateQuery


def update_sql(rows: QuerySet[Any], values: dict[str, Combinable]) -> tuple[str, list[Any]] | None:
    """Return the SQL and parameters of ``rows.update(**values)``, ignoring the ordering of ``rows``.

    Returns: None when the query provably matches no row.
    """
    query: UpdateQuery = rows.query.chain(UpdateQuery)  # type: ignore[assignment]
    query.add_update_values(values)
    query.clear_ordering(force=True)
    try:
        sql, parameters = query.get_compiler(connection=connection).as_sql()
    except EmptyResultSet:
        return None
    return sql, list(parameters)
