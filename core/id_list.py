"""Pass a list of ids to a query as one parameter, because a database limits how many parameters a statement has."""

from __future__ import annotations

import json
from collections.abc import Collection

from django.db import connection
from django.db.models.expressions import RawSQL


def id_list(ids: Collection[int]) -> RawSQL:
    """Return the ids as a subquery, for ``filter(pk__in=...)``."""
    if connection.vendor == "postgresql":
        return RawSQL("SELECT unnest(%s::bigint[])", [list(ids)])
    return RawSQL("SELECT value FROM json_each(%s)", [json.dumps(list(ids))])
