"""The one place that knows unfold: base classes of every admin page."""

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
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from core.html_format import html_clamped

__all__ = [
    "AdminPasswordChangeForm",
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


class ReadOnlyInline(TabularInline):
    """Rows that belong to a record, shown inside it."""

    extra = 0
    can_delete = False
    show_change_link = True
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReasonColumn:
    """A record's ``reason`` as a column, clamped to the width of a table's cell."""

    @display(description="reason", ordering="reason")
    def show_reason(self, record: Any) -> SafeString:
        return html_clamped(record.reason)


def dialog_response(request: HttpRequest, url: str, *, said: str, failed: bool = False) -> HttpResponse:
    """Leave a confirmed dialog: say what happened and go to ``url``, also when the dialog was posted by htmx."""
    (messages.error if failed else messages.success)(request, said)
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)
