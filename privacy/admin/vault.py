"""Admin pages of the Trust Vault: events, sealed batches and checks of the chain."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from core.admin_base import ReadOnlyAdmin, display
from core.html_format import html_facts
from privacy.models import (
    VaultBatch,
    VaultCheck,
    VaultEvent,
)


@admin.register(VaultEvent)
class VaultEventAdmin(ReadOnlyAdmin):
    list_display = ("sequence", "show_kind", "at", "show_facts", "about")
    list_filter = ("kind",)
    search_fields = ("=sequence", "=subject", "=hash")
    search_help_text = "An event's number, its hash, or the commitment to a person"
    date_hierarchy = "at"
    ordering = ("-sequence",)
    fields = ("sequence", "show_kind", "at", "show_facts", "subject", "previous_hash", "hash")
    readonly_fields = fields

    @display(description="kind", ordering="kind", label="info")
    def show_kind(self, event: VaultEvent) -> str:
        return str(event.get_kind_display())

    @display(description="what happened")
    def show_facts(self, event: VaultEvent) -> SafeString:
        return html_facts(event.body)

    @display(description="about one person", boolean=True)
    def about(self, event: VaultEvent) -> bool:
        return bool(event.subject)


@admin.register(VaultBatch)
class VaultBatchAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "event", "decisions_count", "root")
    list_select_related = ("event",)
    search_fields = ("=event__sequence", "=root")
    fields = ("event", "decisions_count", "root")
    readonly_fields = fields


@admin.register(VaultCheck)
class VaultCheckAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "show_result", "sequence", "decisions_count", "erased_count")
    list_filter = (("broken", admin.EmptyFieldListFilter),)
    ordering = ("-id",)
    fields = ("created_at", "show_result", "broken", "sequence", "head", "decisions_count", "erased_count")
    readonly_fields = fields

    @display(description="the chain", label={"holds": "success", "broken": "danger"})
    def show_result(self, check: VaultCheck) -> str:
        return "broken" if check.broken else "holds"
