"""Admin of the training floor: the registry, the gate's verdicts, the pool."""

from __future__ import annotations

from django.contrib import admin

from r3al_project.common.admin import ReadOnlyAdmin, ReadOnlyInline, display
from training.models import GateVerdict, ModelMetric, ModelVersion, SyntheticJob, TrainingDataPool, TrainingEpisode

STATE_LABELS = {
    "training": "info", "evaluating": "warning", "deployed": "success", "archived": "info", "failed": "danger",
}  # fmt: skip
VERDICT_LABELS = {"pass": "success", "fail": "danger", "insufficient": "warning", "reported": "info"}


class MetricInline(ReadOnlyInline):
    model = ModelMetric
    fields = ("source", "name", "value", "low", "high", "threshold", "verdict", "reason")
    readonly_fields = fields


class VerdictInline(ReadOnlyInline):
    model = GateVerdict
    fields = ("attempt", "verdict", "reason", "needed_users", "created_at")
    readonly_fields = fields


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ("id", "__str__", "kind", "show_state", "gate", "created_at")
    list_display_links = ("id", "__str__")
    list_filter = ("state", "head", "kind", "loop_version__loop")
    list_select_related = ("loop_version__loop",)
    exclude = ("weights",)
    inlines = (VerdictInline, MetricInline)

    @display(description="state", ordering="state", label=STATE_LABELS)
    def show_state(self, version: ModelVersion) -> str:
        return str(version.state)

    @display(description="outcome gate", label=VERDICT_LABELS)
    def gate(self, version: ModelVersion) -> str:
        last = version.verdicts.order_by("-attempt").first()
        return last.verdict if last else "-"


@admin.register(ModelMetric)
class ModelMetricAdmin(ReadOnlyAdmin):
    list_display = ("id", "version", "source", "name", "value", "low", "high", "threshold", "show_verdict")
    list_filter = ("source", "name", "verdict", "version__head")
    list_select_related = ("version__loop_version__loop",)

    @display(description="verdict", ordering="verdict", label=VERDICT_LABELS)
    def show_verdict(self, metric: ModelMetric) -> str:
        return str(metric.verdict)


@admin.register(GateVerdict)
class GateVerdictAdmin(ReadOnlyAdmin):
    list_display = ("id", "version", "attempt", "show_verdict", "needed_users", "created_at")
    list_filter = ("verdict", "version__head")
    list_select_related = ("version__loop_version__loop",)

    @display(description="verdict", ordering="verdict", label=VERDICT_LABELS)
    def show_verdict(self, verdict: GateVerdict) -> str:
        return str(verdict.verdict)


@admin.register(TrainingEpisode)
class TrainingEpisodeAdmin(ReadOnlyAdmin):
    list_display = ("id", "version", "index", "steps", "candidate_return", "reference_return", "intervention_rate")
    list_filter = ("version__head",)
    list_select_related = ("version__loop_version__loop",)


@admin.register(SyntheticJob)
class SyntheticJobAdmin(ReadOnlyAdmin):
    list_display = ("id", "generator", "head", "sample_count", "release", "created_at")
    list_filter = ("generator", "head")
    list_select_related = ("release",)


@admin.register(TrainingDataPool)
class TrainingDataPoolAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "rows", "loop_version", "release", "expires_at")
    list_filter = ("kind", "loop_version__loop")
    list_select_related = ("loop_version__loop", "release")
    exclude = ("data",)
