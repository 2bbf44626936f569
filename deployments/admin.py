"""Admin of the deployments floor: slots, the history of deployments, experiments."""

from __future__ import annotations

from django.contrib import admin

from deployments.models import AbExperiment, Deployment, ServingSlot
from r3al_project.common.admin import ReadOnlyAdmin, display

STATE_LABELS = {
    "pending": "info", "in_progress": "warning", "paused": "warning", "succeeded": "success",
    "rolled_back": "danger", "aborted": "info", "failed": "danger",
}  # fmt: skip


@admin.register(ServingSlot)
class ServingSlotAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "stable", "candidate", "weight_percent", "mode", "generation")
    list_filter = ("loop", "head")
    list_select_related = ("loop", "stable__loop_version__loop", "candidate__loop_version__loop")
    exclude = ("salt",)

    @display(description="candidate's traffic")
    def weight_percent(self, slot: ServingSlot) -> str:
        return f"{slot.weight_bp / 100:g}%"


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin):
    list_display = ("id", "slot", "version", "previous", "strategy", "show_state", "actor", "created_at")
    list_filter = ("state", "strategy", "slot__loop", "slot__head")
    list_select_related = ("slot__loop", "version__loop_version__loop", "previous__loop_version__loop")

    @display(description="state", ordering="state", label=STATE_LABELS)
    def show_state(self, deployment: Deployment) -> str:
        return str(deployment.state)


@admin.register(AbExperiment)
class AbExperimentAdmin(ReadOnlyAdmin):
    list_display = ("id", "deployment", "control", "treatment", "split_bp", "state", "ends_at")
    list_filter = ("state",)
