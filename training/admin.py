"""Admin of the training floor: the registry, the gates' verdicts, the pool. Weights and pool rows are never shown."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString

from core.admin_base import ReadOnlyAdmin, ReadOnlyInline, display
from core.html_format import NOT_ENOUGH_PEOPLE, NOTHING, html_clamped, html_facts, interval_plot, number_text
from training.models import (
    VERDICT_WORDS,
    GateVerdict,
    ModelMetric,
    ModelVersion,
    SyntheticJob,
    TrainingDataPool,
    TrainingEpisode,
)

VERSION_STATE_LABELS = {
    "training": "info", "evaluating": "warning", "deployed": "success", "archived": "info", "failed": "danger",
}  # fmt: skip
VERDICT_LABELS = {"pass": "success", "fail": "danger", "insufficient evidence": "warning", "reported": "info"}


class Measured:
    """How a metric is shown: its number, its interval against its bar."""

    @display(description="what", ordering="name")
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


@display(description="people it would take", ordering="needed_users")
def people_needed(record: ModelMetric | GateVerdict) -> str:
    """About how many people would decide it."""
    return NOTHING if record.needed_users is None else f"about {record.needed_users:,.0f}"


class Reasoned:
    """Why, in a cell of a table."""

    @display(description="reason", ordering="reason")
    def show_reason(self, record: ModelMetric | GateVerdict) -> SafeString:
        return html_clamped(record.reason)


class MetricInline(Measured, Reasoned, ReadOnlyInline):
    model = ModelMetric
    fields = ("source", "show_name", "show_value", "interval", "plot", "show_bar", "show_verdict", "show_reason")
    readonly_fields = fields
    ordering = ("id",)


class VerdictInline(Reasoned, ReadOnlyInline):
    model = GateVerdict
    fields = ("attempt", "show_verdict", "show_reason", "needed", "created_at")
    readonly_fields = fields
    ordering = ("-attempt",)

    @display(description="verdict", label=VERDICT_LABELS)
    def show_verdict(self, verdict: GateVerdict) -> str:
        return VERDICT_WORDS[verdict.verdict]

    @display(description="people it would take")
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
        found: QuerySet[ModelVersion] = super().get_queryset(request).defer("weights")
        return found.annotate(last_verdict=Subquery(last))

    @display(description="state", ordering="state", label=VERSION_STATE_LABELS)
    def show_state(self, version: ModelVersion) -> str:
        return str(version.state)

    @display(description="outcome gate", ordering="last_verdict", label=VERDICT_LABELS)
    def gate(self, version: ModelVersion) -> str:
        return VERDICT_WORDS[getattr(version, "last_verdict", None) or "not asked"]

    @display(description="how it was made")
    def show_config(self, version: ModelVersion) -> SafeString:
        return html_facts(version.config)


@admin.register(ModelMetric)
class ModelMetricAdmin(Measured, ReadOnlyAdmin):
    list_display = ("show_name", "version", "source", "show_value", "interval", "plot", "show_bar", "show_verdict")
    list_filter = ("source", "name", "verdict", "version__head")
    list_select_related = ("version__loop_version__loop",)
    fields = ("version", "source", "show_name", "show_value", "interval", "plot", "show_bar", "show_verdict", "reason",
              "about_users", people_needed)  # fmt: skip
    readonly_fields = fields


@admin.register(GateVerdict)
class GateVerdictAdmin(Reasoned, ReadOnlyAdmin):
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


@admin.register(SyntheticJob)
class SyntheticJobAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "generator", "head", "sample_count", "release", "created_at")
    list_filter = ("generator", "head")
    list_select_related = ("release",)
    fields = ("generator", "head", "sample_count", "release", "job", "seed", "show_summary", "created_at")
    readonly_fields = fields

    @display(description="what was made")
    def show_summary(self, job: SyntheticJob) -> SafeString:
        return html_facts(job.summary)


@admin.register(TrainingDataPool)
class TrainingDataPoolAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "kind", "rows", "loop_version", "release", "expires_at")
    list_filter = ("kind", "loop_version__loop")
    list_select_related = ("loop_version__loop", "release")
    fields = ("loop_version", "kind", "rows", "show_columns", "release", "synthetic_job", "index", "data_sha256",
              "expires_at", "created_at")  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrainingDataPool]:
        found: QuerySet[TrainingDataPool] = super().get_queryset(request).defer("data")
        return found

    @display(description="columns")
    def show_columns(self, chunk: TrainingDataPool) -> SafeString:
        return html_facts(chunk.columns)
