"""Register the admin pages of loops and loop versions. They are read-only: a change is a new version, added from a file."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.admin_base import ReadOnlyAdmin, ReadOnlyInline, display
from core.html_format import html_facts
from loops.models import Loop, LoopVersion


class LoopVersionInline(ReadOnlyInline):
    model = LoopVersion
    fields = ("version", "sha256", "created_at")
    readonly_fields = fields
    ordering = ("-version",)


@admin.register(Loop)
class LoopAdmin(ReadOnlyAdmin):
    list_display = ("name", "show_title", "latest", "version_count", "created_at")
    search_fields = ("name",)
    fields = ("name", "created_at")
    inlines = (LoopVersionInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Loop]:
        counted = super().get_queryset(request).annotate(latest=Max("versions__version"), count=Count("versions"))
        return counted.prefetch_related("versions")  # type: ignore[no-any-return]

    @display(description="title")
    def show_title(self, loop: Loop) -> str:
        versions = sorted(loop.versions.all(), key=lambda v: v.version)
        return versions[-1].spec.title if versions else "-"

    @display(description="latest version", ordering="latest")
    def latest(self, loop: Loop) -> str:
        return str(loop.latest or "-")  # type: ignore[attr-defined]

    @display(description="versions", ordering="count")
    def version_count(self, loop: Loop) -> int:
        return int(loop.count)  # type: ignore[attr-defined]


@admin.register(LoopVersion)
class LoopVersionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "show_title", "show_features", "heads", "created_at")
    list_filter = ("loop",)
    list_select_related = ("loop",)
    search_fields = ("loop__name",)
    fields = ("loop", "version", "show_title", "show_heads", "show_features", "show_source", "sha256", "created_at")
    readonly_fields = fields

    @display(description="title")
    def show_title(self, version: LoopVersion) -> str:
        return version.spec.title

    @display(description="heads and their actions")
    def show_heads(self, version: LoopVersion) -> SafeString:
        return html_facts({h.name: f"{', '.join(h.actions)}; reference {h.reference}" for h in version.spec.heads})

    @display(description="heads")
    def heads(self, version: LoopVersion) -> str:
        return ", ".join(f"{h.name} ({len(h.actions)})" for h in version.spec.heads)

    @display(description="features")
    def show_features(self, version: LoopVersion) -> SafeString:
        return html_facts([f.name for f in version.spec.features])

    @display(description="source file")
    def show_source(self, version: LoopVersion) -> SafeString:
        return format_html(
            '<pre class="r3-source" tabindex="0" aria-label="the loop\'s TOML file">{}</pre>', version.source
        )
