"""Admin of turns."""

from __future__ import annotations

from django.contrib import admin

from r3al_project.common.admin import ReadOnlyAdmin, ReadOnlyInline, display
from r3al_project.turns.models import Turn, TurnStage

OUTCOME_LABELS = {"running": "info", "deployed": "success", "kept": "warning", "failed": "danger"}


class StageInline(ReadOnlyInline):
    model = TurnStage
    fields = ("name", "job", "seconds", "summary")
    readonly_fields = fields


@admin.register(Turn)
class TurnAdmin(ReadOnlyAdmin):
    list_display = ("id", "loop_version", "show_outcome", "reason", "created_at", "finished_at")
    list_filter = ("outcome", "loop_version__loop")
    list_select_related = ("loop_version__loop",)
    inlines = (StageInline,)

    @display(description="outcome", ordering="outcome", label=OUTCOME_LABELS)
    def show_outcome(self, turn: Turn) -> str:
        return str(turn.outcome)


@admin.register(TurnStage)
class TurnStageAdmin(ReadOnlyAdmin):
    list_display = ("id", "turn", "name", "seconds", "job")
    list_filter = ("name",)
    list_select_related = ("turn__loop_version__loop", "job")
