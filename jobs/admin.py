"""Register the admin pages of jobs and of Celery beat's schedules. No page shows a job's lease token."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from core.admin_base import (
    ReadOnlyAdmin,
    RecordAdmin,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    action,
    dialog_response,
    display,
)
from core.errors import R3alError
from core.html_format import NOTHING, duration_text, html_clamped, html_facts, html_meter
from jobs.models import CANCEL_JOB, Job
from jobs.services import job_cancel

JOB_STATE_LABELS = {"queued": "info", "running": "warning", "done": "success", "failed": "danger", "cancelled": "info"}


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("id", "kind", "show_state", "show_progress", "show_message", "took", "attempts", "created_at")
    list_display_links = ("id", "kind")
    list_filter = ("state", "kind")
    search_fields = ("kind", "key", "error")
    date_hierarchy = "created_at"
    fields = ("kind", "show_state", "show_progress", "message", "show_error", "show_arguments", "show_result",
              "attempts", "max_attempts", "cancel_requested", "created_at", "started_at", "finished_at", "took")  # fmt: skip
    readonly_fields = fields
    actions_detail = ("cancel",)

    @display(description="state", ordering="state", label=JOB_STATE_LABELS)
    def show_state(self, job: Job) -> str:
        return str(job.state)

    @display(description="progress", ordering="progress")
    def show_progress(self, job: Job) -> SafeString:
        return html_meter(job.progress, f"{job.progress:.0%}")

    @display(description="status message or error")
    def show_message(self, job: Job) -> SafeString:
        return html_clamped(job.error or job.message)

    @display(description="error")
    def show_error(self, job: Job) -> str:
        return job.error or NOTHING

    @display(description="arguments")
    def show_arguments(self, job: Job) -> SafeString:
        return html_facts(job.arguments)

    @display(description="result")
    def show_result(self, job: Job) -> SafeString:
        return html_facts(job.result)

    @display(description="duration")
    def took(self, job: Job) -> str:
        if job.started_at is None:
            return NOTHING
        return duration_text(((job.finished_at or timezone.now()) - job.started_at).total_seconds())

    def has_cancel_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Require the ``cancel_job`` permission. Nothing else about a job can be changed by hand."""
        return bool(request.user.has_perm(CANCEL_JOB))

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Hide the button on a job that has ended or whose cancellation was requested."""
        job = Job.objects.filter(pk=object_id).first()
        if job is None or job.is_over or job.cancel_requested:
            return []
        actions: list[Any] = super().get_actions_detail(request, object_id)
        return actions

    @action(
        description="Cancel this job",
        icon="cancel",
        permissions=["cancel"],
        url_path="cancel",
        dialog={
            "title": "Cancel this job?",
            "description": "A queued job ends at once. A running job ends at its next report of progress. The turn of the job "
            "ends with it. Results of earlier stages stay, and people charged for a release stay charged.",
            "form_submit_text": "Cancel the job",
        },
    )
    def cancel(self, request: HttpRequest, form: object, object_id: str) -> HttpResponse:
        page = reverse("admin:jobs_job_change", args=[object_id])
        try:
            job_cancel(job_id=int(object_id), actor=request.user.get_username())
        except R3alError as error:
            return dialog_response(request, reverse("admin:jobs_job_changelist"), message=str(error), failed=True)
        job = Job.objects.get(pk=object_id)
        if job.state == "cancelled":
            return dialog_response(request, page, message=f"Job {job.pk} is cancelled.")
        if job.is_over:
            return dialog_response(request, page, message=f"Job {job.pk} had already ended: {job.state}.", failed=True)
        return dialog_response(request, page, message=f"Job {job.pk} will end at its next report of progress.")


class ScheduleForm(beat.PeriodicTaskForm):
    """Render Celery beat's schedule form with unfold's widgets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "task" in self.fields:
            self.fields["task"].widget = UnfoldAdminTextInputWidget()
            self.fields["regtask"].widget = TaskSelect()


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """List the registered tasks in an unfold select widget."""


for _model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(_model)


def _require_change(act: Callable[..., Any]) -> Callable[..., Any]:
    """Restrict an admin action to users who may change schedules. Celery beat's own actions check no permission."""

    @functools.wraps(act)
    def restricted(*arguments: Any) -> Any:
        return act(*arguments)

    restricted.allowed_permissions = ["change"]  # type: ignore[attr-defined]
    return restricted


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin, RecordAdmin):
    form = ScheduleForm
    enable_tasks = _require_change(beat.PeriodicTaskAdmin.enable_tasks)
    disable_tasks = _require_change(beat.PeriodicTaskAdmin.disable_tasks)
    toggle_tasks = _require_change(beat.PeriodicTaskAdmin.toggle_tasks)
    run_tasks = _require_change(beat.PeriodicTaskAdmin.run_tasks)
    list_display = ("name", "enabled", "scheduler", "last_run_at")
    list_filter = ("enabled",)
    list_select_related = ("interval", "crontab", "solar", "clocked")
    date_hierarchy = None


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(RecordAdmin):
    list_display = ("__str__", "every", "period")


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat.CrontabScheduleAdmin, RecordAdmin):
    pass


@admin.register(SolarSchedule)
class SolarScheduleAdmin(RecordAdmin):
    list_display = ("event", "latitude", "longitude")


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(beat.ClockedScheduleAdmin, RecordAdmin):
    pass
