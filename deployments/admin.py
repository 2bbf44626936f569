"""Admin pages of slots, deployments, health checks and incidents. A slot's salt is never shown.

Deployments and rollbacks are made on the training dashboard, where each is confirmed.
"""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from core.admin_base import ReadOnlyAdmin, ReadOnlyInline, ReasonColumn, display
from core.html_format import NOTHING, html_facts
from deployments.engine.rollouts.strategies import STRATEGIES
from deployments.models import (
    AbExperiment,
    Deployment,
    EvidenceUnit,
    EvidenceWeek,
    HealthCheck,
    Incident,
    LatencyMinute,
    RolloutAct,
    RolloutCheck,
    ServingSlot,
    ShadowMinute,
)
from deployments.selectors.health import EPOCHS, FIRST_DAYS
from deployments.selectors.rollouts import with_rollouts
from privacy.admin.person_rows import PersonRowsAdmin
from training.admin.versions import VERSION_STATE_LABELS, ModelVersionAdmin
from training.models import ModelVersion

admin.site.unregister(ModelVersion)


@admin.register(ModelVersion)
class TriedVersionAdmin(ModelVersionAdmin):
    """The versions' own page, which also says how a version is tried now."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        return with_rollouts(super().get_queryset(request))

    @display(description="state", ordering="state", label=VERSION_STATE_LABELS)
    def show_state(self, version: ModelVersion) -> str:
        strategy = getattr(version, "tried_by", None)
        return STRATEGIES[strategy].label if strategy else super().show_state(version)


DEPLOYMENT_STATE_LABELS = {
    "pending": "info", "in progress": "warning", "paused": "warning", "succeeded": "success",
    "rolled back": "danger", "aborted": "info", "failed": "danger",
}  # fmt: skip


class DeploymentInline(ReasonColumn, ReadOnlyInline):
    model = Deployment
    fields = ("version", "previous", "strategy", "state", "show_reason", "actor", "created_at")
    readonly_fields = fields
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        deployments: QuerySet[Deployment] = super().get_queryset(request)
        return deployments.select_related("slot__loop", "version__loop_version__loop", "previous__loop_version__loop")


@admin.register(ServingSlot)
class ServingSlotAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "stable", "serves", "held_back", "explores", "candidate", "weight_percent", "generation")
    list_filter = ("loop", "head")
    list_select_related = ("loop", "stable__loop_version__loop", "candidate__loop_version__loop")
    fields = (
        "loop",
        "head",
        "stable",
        "serves",
        "held_back",
        "explores",
        "candidate",
        "weight_percent",
        "shadow",
        "app_chooses",
        "generation",
    )
    readonly_fields = fields
    inlines = (DeploymentInline,)

    @display(description="deployed policy")
    def serves(self, slot: ServingSlot) -> str:
        if not slot.stable.is_learned:
            return f"the reference: always {slot.stable.config.get('action', '?')}"
        return f"a learned policy ({slot.stable.get_kind_display()})"

    @display(description="held back", ordering="holdback_bp")
    def held_back(self, slot: ServingSlot) -> str:
        drawn = ", drawn anew each week" if slot.rotates else ""
        return f"{slot.holdback_bp / 100:g}% of the people{drawn}" if slot.holdback_bp else NOTHING

    @display(description="explored", ordering="exploration_bp")
    def explores(self, slot: ServingSlot) -> str:
        return f"{slot.exploration_bp / 100:g}% of decisions"

    @display(description="candidate's traffic", ordering="weight_bp")
    def weight_percent(self, slot: ServingSlot) -> str:
        return f"{slot.weight_bp / 100:g}%"


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "slot", "version", "previous", "show_state", "actor", "created_at")
    list_filter = ("state", "strategy", "slot__loop", "slot__head")
    list_select_related = ("slot__loop", "version__loop_version__loop", "previous__loop_version__loop")
    date_hierarchy = "created_at"
    fields = ("slot", "version", "previous", "strategy", "show_state", "stage", "stage_began_at", "extended",
              "waits_for", "deadline_at", "reason", "thresholds", "actor", "created_at", "finished_at")  # fmt: skip
    readonly_fields = fields

    @display(description="state", ordering="state", label=DEPLOYMENT_STATE_LABELS)
    def show_state(self, deployment: Deployment) -> str:
        return str(deployment.get_state_display())

    @display(description="thresholds at the start")
    def thresholds(self, deployment: Deployment) -> SafeString:
        return html_facts(deployment.frozen_policy)


@admin.register(RolloutAct)
class RolloutActAdmin(ReasonColumn, ReadOnlyAdmin):
    list_display = ("__str__", "deployment", "stage", "show_reason", "actor", "created_at")
    list_filter = ("act", "deployment__slot__loop", "deployment__slot__head")
    list_select_related = ("deployment",)
    fields = ("deployment", "act", "stage", "share_bp", "reason", "actor", "created_at")
    readonly_fields = fields


HEALTH_LABELS = {"not enough data yet": "info", "healthy": "success", "degraded": "warning", "critical": "danger"}


@admin.register(HealthCheck)
class HealthCheckAdmin(ReadOnlyAdmin):
    list_display = ("slot", "version", "show_state", "acted", "created_at")
    list_filter = ("state", "acted", "slot__loop", "slot__head")
    list_select_related = ("slot__loop", "version__loop_version__loop")
    fields = (
        "slot",
        "version",
        "generation",
        "show_state",
        "acted",
        "show_metrics",
        "show_triggers",
        "advice",
        "created_at",
    )
    readonly_fields = fields

    @display(description="state", ordering="state", label=HEALTH_LABELS)
    def show_state(self, check: HealthCheck) -> str:
        return check.status_text

    @display(description="metrics")
    def show_metrics(self, check: HealthCheck) -> SafeString:
        return html_facts(check.metrics)

    @display(description="triggers")
    def show_triggers(self, check: HealthCheck) -> SafeString:
        return html_facts(check.triggers)

    @display(description="recommendations")
    def advice(self, check: HealthCheck) -> SafeString:
        return html_facts(check.recommendations)


@admin.register(RolloutCheck)
class RolloutCheckAdmin(ReadOnlyAdmin):
    list_display = ("deployment", "stage", "closed_weeks", "step", "label", "acted", "created_at")
    list_filter = ("step", "acted", "deployment__slot__loop", "deployment__slot__head")
    list_select_related = ("deployment__version__loop_version__loop",)
    fields = (
        "deployment",
        "generation",
        "stage",
        "closed_weeks",
        "step",
        "label",
        "acted",
        "show_reasons",
        "created_at",
    )
    readonly_fields = fields

    @display(description="reasons")
    def show_reasons(self, check: RolloutCheck) -> SafeString:
        return html_facts(check.reasons)


@admin.register(Incident)
class IncidentAdmin(ReasonColumn, ReadOnlyAdmin):
    list_display = ("__str__", "slot", "show_reason", "actor", "automatic", "harmful", "created_at")
    list_filter = ("automatic", "harmful", "slot__loop", "slot__head")
    list_select_related = ("slot__loop", "version__loop_version__loop")
    fields = ("slot", "version", "deployment", "check_made", "reason", "actor", "automatic", "harmful", "created_at")
    readonly_fields = fields


@admin.register(EvidenceUnit)
class EvidenceUnitAdmin(PersonRowsAdmin):
    """Show that a person's week was counted, but never their outcomes."""

    person = "data_key__person__id"
    list_display = ("slot", "version", "week", "decisions", "interventions", "closes_at")
    list_filter = ("slot__loop", "slot__head")
    list_select_related = ("slot__loop", "version__loop_version__loop")
    fields = list_display
    readonly_fields = fields

    @display(description="week of the deployment", ordering="epoch")
    def week(self, unit: EvidenceUnit) -> str:
        week = unit.epoch % EPOCHS
        return "first day" if week == FIRST_DAYS else str(week)


@admin.register(EvidenceWeek)
class EvidenceWeekAdmin(ReadOnlyAdmin):
    list_display = ("deployment", "week", "closed_at")
    list_select_related = ("deployment__version__loop_version__loop",)
    fields = list_display
    readonly_fields = fields


@admin.register(LatencyMinute)
class LatencyMinuteAdmin(ReadOnlyAdmin):
    list_display = ("loop", "version", "minute", "requests", "over_200_ms", "over_250_ms", "mean_ms")
    list_filter = ("loop",)
    list_select_related = ("loop", "version__loop_version__loop")
    fields = list_display
    readonly_fields = fields

    @display(description="mean, ms")
    def mean_ms(self, row: LatencyMinute) -> str:
        return f"{row.total_us / max(row.requests, 1) / 1e3:.2f}"


@admin.register(ShadowMinute)
class ShadowMinuteAdmin(ReadOnlyAdmin):
    list_display = ("version", "minute", "scored", "late", "errors", "dropped", "mean_ms")
    list_select_related = ("version__loop_version__loop",)
    fields = list_display  # a minute's choices are one person's, so what was chosen is shown for the whole test alone
    readonly_fields = fields

    @display(description="mean, ms")
    def mean_ms(self, row: ShadowMinute) -> str:
        return f"{row.total_us / max(row.scored, 1) / 1e3:.3f}"


@admin.register(AbExperiment)
class AbExperimentAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "deployment", "control", "treatment", "split", "state", "ends_at")
    list_filter = ("state",)
    list_select_related = ("deployment", "control__loop_version__loop", "treatment__loop_version__loop")
    fields = ("deployment", "control", "treatment", "split", "alpha", "minimum_per_arm", "ends_at", "state",
              "show_result", "created_at")  # fmt: skip
    readonly_fields = fields

    @display(description="treatment's share", ordering="split_bp")
    def split(self, experiment: AbExperiment) -> str:
        return f"{experiment.split_bp / 100:g}%"

    @display(description="result")
    def show_result(self, experiment: AbExperiment) -> SafeString:
        return html_facts(experiment.result)
