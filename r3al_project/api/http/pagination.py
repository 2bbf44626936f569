"""Cut a list, newest first, into pages by key.

A page is named by the key that it lies below, not by its number. Rows that are added meanwhile are therefore neither shown twice
nor push others off the page that comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from r3al_project.api.http.request_bodies import StrictBody, WholeField

PAGE_SIZE, LARGEST_PAGE = 50, 200
M = TypeVar("M", bound=Model)
R = TypeVar("R")


class PageQuery(StrictBody):
    """The parameters of a list. ``next`` of an answer holds them."""

    before = WholeField(
        required=False, min_value=1, help_text="Show what is older than this. next of an answer says it."
    )
    pageSize = WholeField(required=False, min_value=1, max_value=LARGEST_PAGE, help_text=f"Default: {PAGE_SIZE}.")


class Page(NamedTuple):
    """Hold the entries of one page, and the address of the next one (None: this is the last)."""

    entries: Sequence[Any]
    next: str | None


def page_of_table(request: Request, query: dict[str, Any], found: QuerySet[M]) -> Page:
    """Return a page of a table's rows, newest first by primary key."""
    size = query.get("pageSize", PAGE_SIZE)
    found = found.order_by("-pk")
    if "before" in query:
        found = found.filter(pk__lt=query["before"])
    rows = list(found[: size + 1])
    return Page(rows[:size], _address(request, rows[size - 1].pk) if len(rows) > size else None)


def page_of_rows(request: Request, query: dict[str, Any], rows: Sequence[R], key: Callable[[R], int]) -> Page:
    """Return a page of computed rows, which lie in falling order of ``key``. Rows of one key stay on one page."""
    size = query.get("pageSize", PAGE_SIZE)
    left = [row for row in rows if "before" not in query or key(row) < query["before"]]
    if len(left) <= size:
        return Page(left, None)
    entries = [row for row in left if key(row) >= key(left[size - 1])]
    return Page(entries, _address(request, key(entries[-1])) if len(entries) < len(left) else None)


def _address(request: Request, last: int) -> str:
    return str(replace_query_param(request.build_absolute_uri(), "before", last))
