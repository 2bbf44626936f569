"""Admin of the lowest floor: what loops there are, and the accepted texts of each."""

from __future__ import annotations

from django.contrib import admin

from loops.models import Loop, LoopVersion
from r3al_project.common.admin import ReadOnlyAdmin, ReadOnlyInline, display


class LoopVersionInline(ReadOnlyInline):
    model = LoopVersion
    fields = ("version", "created_at", "sha256")
    readonly_fields = fields
    ordering = ("-version",)


@admin.register(Loop)
class LoopAdmin(ReadOnlyAdmin):
    list_display = ("name", "title", "latest", "created_at")
    search_fields = ("name",)
    inlines = (LoopVersionInline,)

    @display(description="title")
    def title(self, loop: Loop) -> str:
        version = loop.versions.order_by("-version").first()
        return version.spec.title if version else ""

    @display(description="latest version")
    def latest(self, loop: Loop) -> int | None:
        version = loop.versions.order_by("-version").first()
        return version.version if version else None


@admin.register(LoopVersion)
class LoopVersionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "title", "features", "heads", "created_at")
    list_filter = ("loop",)
    list_select_related = ("loop",)
    fields = ("loop", "version", "created_at", "sha256", "source")

    @display(description="title")
    def title(self, version: LoopVersion) -> str:
        return version.spec.title

    @display(description="features")
    def features(self, version: LoopVersion) -> str:
        return ", ".join(version.spec.feature_names)

    @display(description="heads")
    def heads(self, version: LoopVersion) -> str:
        return ", ".join(f"{h.name} ({len(h.actions)})" for h in version.spec.heads)
