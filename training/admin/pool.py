"""Admin pages of the training pool: synthetic jobs and the row chunks that they write."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from core.admin_base import ReadOnlyAdmin, display
from core.html_format import html_facts
from training.models import (
    SyntheticJob,
    TrainingDataPool,
)


@admin.register(SyntheticJob)
class SyntheticJobAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "generator", "source", "head", "sample_count", "accepted", "release", "created_at")
    list_filter = ("generator", "source", "head", "accepted")
    list_select_related = ("release",)
    fields = (
        "generator", "source", "head", "sample_count", "source_count", "threshold", "release", "job", "seed", "accepted",
        "quality", "diversity", "privacy", "show_failures", "show_summary", "expires_at", "created_at",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyntheticJob]:
        jobs: QuerySet[SyntheticJob] = super().get_queryset(request).defer("report", "checkpoint")
        return jobs

    @display(description="scores below their bar")
    def show_failures(self, job: SyntheticJob) -> SafeString:
        return html_facts(job.failures)

    @display(description="result")
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
        chunks: QuerySet[TrainingDataPool] = super().get_queryset(request).defer("data")
        return chunks

    @display(description="columns")
    def show_columns(self, chunk: TrainingDataPool) -> SafeString:
        return html_facts(chunk.columns)
