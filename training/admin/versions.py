"""Admin pages of model versions, their metrics, gate verdicts and rollout episodes."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString

from core.admin_base import ReadOnlyAdmin, ReadOnlyInline, ReasonColumn, display
from core.html_format import NOT_ENOUGH_PEOPLE, NOTHING, html_facts, interval_plot, number_text
from training.models import (
    VERDICT_WORDS,
    GateVerdict,
    ModelMetric,
    ModelVersion,
    TrainingEpisode,
)

VERSION_STATE_LABELS = {
    "training": "info", "evaluating": "warning", "deployed": "success", "archived": "info", "failed": "danger",
}  # fmt: skip


VERDICT_LABELS = {"pass": "success", "fail": "danger", "insufficient evidence": "warning", "reported": "info"}


class MetricColumns:
    """Display columns of a metric: its value, and its interval beside its bar."""

    @display(description="metric", ordering="name")
    def show_name(self, metric: ModelMetric) -> str:
        return str(metric.name).replace("_", " ")

    @display(description="value", ordering="value")
    def show_value(self, metric: ModelMetric) -> str:
        return NOTHING if metric.too_few else number_text(metric.value)

    @display(description="interval")
    def interval(self, metric: ModelMetric) -> str:
        if metric.too_few:
            return NOT_ENOUGH_PEOPLE
        if metric.low is None and metric.high is None:
            return NOTHING
        return f"{number_text(metric.low)} to {number_text(metric.high)}"

    @display(description="bar", ordering="threshold")
    def show_bar(self, metric: ModelMetric) -> str:
        return number_text(metric.threshold)

    @display(description="interval and bar")
    def plot(self, metric: ModelMetric) -> SafeString:
        return interval_plot(None if metric.too_few else metric.value, metric.low, metric.high, metric.threshold)

    @display(description="verdict", ordering="verdict", label=VERDICT_LABELS)
    def show_verdict(self, metric: ModelMetric) -> str:
        return VERDICT_WORDS[metric.verdict]

    @display(description="people (noised)", ordering="users")
    def about_users(self, metric: ModelMetric) -> str:
        return NOTHING if metric.users is None else f"about {metric.users:,.0f}"


@display(description="people needed", ordering="needed_users")
def people_needed(record: ModelMetric | GateVerdict) -> str:
    """Return about how many people a decision needs, as text."""
    return NOTHING if record.needed_users is None else f"about {record.needed_users:,.0f}"


class MetricInline(MetricColumns, ReasonColumn, ReadOnlyInline):
    model = ModelMetric
    fields = ("source", "show_name", "show_value", "interval", "plot", "show_bar", "show_verdict", "show_reason")
    readonly_fields = fields
    ordering = ("id",)


class VerdictInline(ReasonColumn, ReadOnlyInline):
    model = GateVerdict
    fields = ("attempt", "show_verdict", "show_reason", "needed", "created_at")
    readonly_fields = fields
    ordering = ("-attempt",)

    @display(description="verdict", label=VERDICT_LABELS)
    def show_verdict(self, verdict: GateVerdict) -> str:
        return VERDICT_WORDS[verdict.verdict]

    @display(description="people needed")
    def needed(self, verdict: GateVerdict) -> str:
        return str(people_needed(verdict))


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "kind", "show_state", "gate", "created_at")
    list_filter = ("state", "head", "kind", "loop_version__loop")
    list_select_related = ("loop_version__loop",)
    search_fields = ("=id", "head", "loop_version__loop__name")
    fields = ("loop_version", "head", "kind", "show_state", "gate", "show_config", "releases", "parent",
              "weights_sha256", "created_at")  # fmt: skip
    readonly_fields = fields
    inlines = (VerdictInline, MetricInline)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        last = GateVerdict.objects.filter(version=OuterRef("pk")).order_by("-attempt").values("verdict")[:1]
        versions: QuerySet[ModelVersion] = super().get_queryset(request).defer("weights")
        return versions.annotate(last_verdict=Subquery(last))

    @display(description="state", ordering="state", label=VERSION_STATE_LABELS)
    def show_state(self, version: ModelVersion) -> str:
        return str(version.state)

    @display(description="outcome gate", ordering="last_verdict", label=VERDICT_LABELS)
    def gate(self, version: ModelVersion) -> str:
        return VERDICT_WORDS[getattr(version, "last_verdict", None) or "not asked"]

    @display(description="training configuration")
    def show_config(self, version: ModelVersion) -> SafeString:
        return html_facts(version.config)


@admin.register(ModelMetric)
class ModelMetricAdmin(MetricColumns, ReadOnlyAdmin):
    list_display = ("show_name", "version", "source", "show_value", "interval", "plot", "show_bar", "show_verdict")
    list_filter = ("source", "name", "verdict", "version__head")
    list_select_related = ("version__loop_version__loop",)
    fields = ("version", "source", "show_name", "show_value", "interval", "plot", "show_bar", "show_verdict", "reason",
              "about_users", people_needed)  # fmt: skip
    readonly_fields = fields


@admin.register(GateVerdict)
class GateVerdictAdmin(ReasonColumn, ReadOnlyAdmin):
    list_display = ("version", "attempt", "show_verdict", "show_reason", people_needed, "created_at")
    list_filter = ("verdict", "version__head", "version__loop_version__loop")
    list_select_related = ("version__loop_version__loop",)
    fields = ("version", "attempt", "show_verdict", "reason", people_needed, "release", "created_at")
    readonly_fields = fields

    @display(description="verdict", ordering="verdict", label=VERDICT_LABELS)
    def show_verdict(self, verdict: GateVerdict) -> str:
        return VERDICT_WORDS[verdict.verdict]


@admin.register(TrainingEpisode)
class TrainingEpisodeAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "version", "steps", "candidate", "reference", "rate")
    list_filter = ("version__head", "version__loop_version__loop")
    list_select_related = ("version__loop_version__loop",)
    fields = ("version", "index", "steps", "candidate", "reference", "rate")
    readonly_fields = fields

    @display(description="candidate's return", ordering="candidate_return")
    def candidate(self, episode: TrainingEpisode) -> str:
        return number_text(episode.candidate_return)

    @display(description="reference's return", ordering="reference_return")
    def reference(self, episode: TrainingEpisode) -> str:
        return number_text(episode.reference_return)

    @display(description="interventions", ordering="intervention_rate")
    def rate(self, episode: TrainingEpisode) -> str:
        return f"{episode.intervention_rate:.0%}"
