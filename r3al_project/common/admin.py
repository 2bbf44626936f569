"""The one place that knows unfold: base classes of every admin page."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

__all__ = ["ReadOnlyAdmin", "ReadOnlyInline", "RecordAdmin", "display"]


class RecordAdmin(ModelAdmin):  # type: ignore[misc]
    """A list that people work in: compact, with filters that stay visible."""

    compressed_fields = True
    warn_unsaved_form = True
    list_filter_submit = False
    list_per_page = 50
    show_full_result_count = False


class ReadOnlyAdmin(RecordAdmin):
    """Records that only services write: looked at, never added, changed or deleted by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnlyInline(TabularInline):  # type: ignore[misc]
    """Rows that belong to a record, shown inside it."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
