"""The base of admin pages whose rows belong to people: they show one person at a time, found by their number.

A list of everybody would tell exact counts, of every filter, and who is among them.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from core.admin_base import ChangeList, ReadOnlyAdmin
from privacy.models.person import VIEW_PEOPLE

MOST_FOUND = 9  # people that one identifier may mean, one a population


class OnePersonList(ChangeList):
    """A list that is empty until it is searched for a person's number."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """Return the rows of the person searched for, or of the few people that an identifier means."""
        found: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        few = self.model_admin.person == "pk" and 0 < self.params.get("id__in", "").count(",") < MOST_FOUND
        return found if few or self.query.strip().isdecimal() else found.none()


class PersonRowsAdmin(ReadOnlyAdmin):
    """Show rows that belong to people, to accounts that may also view people. ``person``: the lookup of a person's number."""

    person = "person__id"
    shows_one_person = True  # which the text of an empty list reads
    search_help_text = "A person's number. The list shows one person at a time"

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the person's number as the only field to search by."""
        return (f"={self.person}",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that shows one person."""
        return OnePersonList

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return whether the account may view these rows, and people."""
        return bool(super().has_view_permission(request, obj) and request.user.has_perm(VIEW_PEOPLE))
