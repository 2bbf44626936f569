"""Provide the base classes of every admin page. No other module imports the unfold theme directly."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.forms import BaseDialogForm as DialogForm
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from core.html_format import html_clamped

__all__ = [
    "AdminPasswordChangeForm",
    "ChangeList",
    "DialogForm",
    "ReadOnlyAdmin",
    "ReadOnlyInline",
    "ReasonColumn",
    "RecordAdmin",
    "UnfoldAdminSelectWidget",
    "UnfoldAdminTextInputWidget",
    "UserChangeForm",
    "UserCreationForm",
    "action",
    "dialog_response",
    "display",
]


class RecordAdmin(ModelAdmin):
    """Lay out an admin list for daily work: compact rows, and filters that stay visible."""

    compressed_fields = True
    warn_unsaved_form = True
    list_filter_submit = False
    list_per_page = 50
    show_full_result_count = False


class ReadOnlyAdmin(RecordAdmin):
    """Show records that only services write. Nobody adds, changes or deletes them by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnlyInline(TabularInline):
    """Show the rows that belong to a record inside that record's page."""

    extra = 0
    can_delete = False
    show_change_link = True
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReasonColumn:
    """Add a column with a record's ``reason``, shortened to the width of a table cell."""

    @display(description="reason", ordering="reason")
    def show_reason(self, record: Any) -> SafeString:
        return html_clamped(record.reason)


def dialog_response(request: HttpRequest, url: str, *, message: str, failed: bool = False) -> HttpResponse:
    """Close a confirmed dialog: show ``message`` and redirect to ``url``, also when htmx posted the dialog."""
    (messages.error if failed else messages.success)(request, message)
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)
