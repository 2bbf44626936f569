"""Admin pages of turns and their stages."""

from __future__ import annotations

from pathlib import PurePath

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from core.admin_base import ReadOnlyAdmin, ReadOnlyInline, display
from core.html_format import duration_text, html_clamped, html_facts
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.stages import stage_sentence

OUTCOME_LABELS = {
    "running": "info", "deployed": "success", "kept the incumbent": "warning", "evaluated, waiting for you": "warning",
    "nothing new": "info", "cancelled": "info", "failed": "danger",
}  # fmt: skip


class StageInline(ReadOnlyInline):
    model = TurnStage
    fields = ("name", "state", "took", "did", "job")
    readonly_fields = fields
    ordering = ("id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TurnStage]:
        found: QuerySet[TurnStage] = super().get_queryset(request)
        return found.select_related("turn__loop_version__loop", "job")

    @display(description="state")
    def state(self, stage: TurnStage) -> str:
        return str(stage.job.get_state_display())

    @display(description="took")
    def took(self, stage: TurnStage) -> str:
        return duration_text(stage.seconds)

    @display(description="result")
    def did(self, stage: TurnStage) -> SafeString:
        return html_clamped(stage_sentence(stage.name, stage.summary) or stage.job.error or stage.job.message)


@admin.register(Turn)
class TurnAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "show_outcome", "show_reason", "actor", "created_at", "took")
    list_filter = ("outcome", "loop")
    list_select_related = ("loop_version__loop",)
    search_fields = ("loop__name", "reason")
    fields = ("loop_version", "show_outcome", "reason", "show_parameters", "actor", "created_at", "finished_at", "took")
    readonly_fields = fields
    inlines = (StageInline,)

    @display(description="outcome", ordering="outcome", label=OUTCOME_LABELS)
    def show_outcome(self, turn: Turn) -> str:
        return turn.outcome_text

    @display(description="reason", ordering="reason")
    def show_reason(self, turn: Turn) -> SafeString:
        return html_clamped(turn.reason)

    @display(description="took")
    def took(self, turn: Turn) -> str:
        return duration_text((turn.finished_at - turn.created_at).total_seconds() if turn.finished_at else None)

    @display(description="parameters")
    def show_parameters(self, turn: Turn) -> SafeString:
        source = turn.parameters.get("source")
        return html_facts(turn.parameters | ({"source": PurePath(source).name} if source else {}))


@admin.register(TurnStage)
class TurnStageAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "turn", "state", "took", "job")
    list_filter = ("name", "job__state")
    list_select_related = ("turn__loop_version__loop", "job")
    fields = ("turn", "name", "state", "took", "did", "show_summary", "job")
    readonly_fields = fields

    @display(description="state", ordering="job__state")
    def state(self, stage: TurnStage) -> str:
        return str(stage.job.get_state_display())

    @display(description="took", ordering="seconds")
    def took(self, stage: TurnStage) -> str:
        return duration_text(stage.seconds)

    @display(description="result")
    def did(self, stage: TurnStage) -> str:
        return stage_sentence(stage.name, stage.summary) or "-"

    @display(description="summary")
    def show_summary(self, stage: TurnStage) -> SafeString:
        return html_facts(stage.summary)
