"""Pages of synthetic data: start a table, follow it, read its scores and its report, and cancel it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from core.errors import Conflict, InputError, R3alError
from core.sentences import sentence
from jobs.models import OPEN_STATES
from jobs.services import job_cancel
from loops.selectors import DEFAULT_LOOP, loop_version_current, loop_versions_current
from r3al_project.pages.front_page import chip_of
from r3al_project.pages.operator_views import Question, confirm, dashboard_view, require
from r3al_project.permissions import CANCEL_JOB, SYNTHESIZE_DATA, VIEW_SYNTHETIC
from r3al_project.report_headers import REPORT_HEADERS
from training.engine.generators.registry import TABLE_GENERATORS
from training.models import SyntheticJob
from training.selectors.synthetic import (
    report_is_kept,
    rows_are_kept,
    synthetic_get,
    synthetic_jobs,
    synthetic_report,
    synthetic_rows_write,
    synthetic_summary,
)
from training.services.synthetic.requests import (
    DEFAULT_SEED,
    DEFAULT_SOURCE_ROWS,
    DEFAULT_THRESHOLD,
    MOST_SYNTHETIC_ROWS,
    SynthesizeRequest,
    synthesize_enqueue,
)
from training.services.synthetic.sources import FEWEST_SOURCE_ROWS

_SHOWN = 20
_SCORES = ("quality", "diversity", "privacy")
_FORM = {
    "loop": DEFAULT_LOOP, "method": next(iter(TABLE_GENERATORS)), "sampleCount": "500",
    "sourceDataCount": str(DEFAULT_SOURCE_ROWS),
    "qualityThreshold": f"{DEFAULT_THRESHOLD:g}", "release": "", "seed": str(DEFAULT_SEED),
}  # fmt: skip


@dashboard_view
def synthetic_list(request: HttpRequest) -> HttpResponse:
    """Show the form and the newest jobs. POST starts one."""
    require(request, VIEW_SYNTHETIC)
    if request.method != "POST":
        return _list(request, {})
    require(request, SYNTHESIZE_DATA)
    try:
        made = _start(request.POST)
    except R3alError as error:
        messages.error(request, sentence(str(error)))
        return _list(request, request.POST, status=422)
    return HttpResponseRedirect(reverse("synthetic-job", args=[made.pk]))


def _start(given: Mapping[str, Any]) -> SyntheticJob:
    request = SynthesizeRequest(
        method=given.get("method", ""),
        samples=_whole(given, "sampleCount"),
        source_rows=_whole(given, "sourceDataCount"),
        threshold=_number(given, "qualityThreshold"),
        release=_whole(given, "release") if str(given.get("release", "")).strip() else None,
        seed=_whole(given, "seed"),
    )
    return synthesize_enqueue(loop_version=loop_version_current(given.get("loop", "")), request=request)


def _list(request: HttpRequest, given: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
    tables = synthetic_jobs().filter(request_digest__isnull=False).order_by("-pk")[:_SHOWN]
    shown = {
        "title": "Synthetic data",
        "form": {name: given.get(name, value) for name, value in _FORM.items()},
        "loops": [version.loop.name for version in loop_versions_current()],
        "methods": list(TABLE_GENERATORS),
        "fewest": FEWEST_SOURCE_ROWS,
        "most": MOST_SYNTHETIC_ROWS,
        "may_start": request.user.has_perm(SYNTHESIZE_DATA),
        "rows": [{"job": job, "chip": _chip(job)} for job in tables],
    }
    return render(request, "training/synthetic.html", admin.site.each_context(request) | shown, status=status)


@dashboard_view
def synthetic_job(request: HttpRequest, synthetic: int) -> HttpResponse:
    """Show one job with its report."""
    require(request, VIEW_SYNTHETIC)
    state = _state(request, synthetic)
    shown = {"title": f"Synthetic data {synthetic}"} | state
    return render(request, "training/synthetic_job.html", admin.site.each_context(request) | shown)


@dashboard_view
def synthetic_live(request: HttpRequest, synthetic: int) -> HttpResponse:
    """Render the live part of a job, which the page fetches every two seconds."""
    require(request, VIEW_SYNTHETIC)
    return render(request, "training/synthetic_live.html", _state(request, synthetic))


@dashboard_view
def synthetic_report_page(request: HttpRequest, synthetic: int) -> HttpResponse:
    """Show the report alone, as the page frames it. Its own policy lets it load and run nothing."""
    require(request, VIEW_SYNTHETIC)
    headers = dict(REPORT_HEADERS)
    if request.GET.get("download"):
        headers["Content-Disposition"] = f'attachment; filename="synthetic-{synthetic}.html"'
    return HttpResponse(synthetic_report(synthetic_get(synthetic)), headers=headers)


@dashboard_view
def synthetic_rows(request: HttpRequest, synthetic: int) -> HttpResponse:
    """Download the rows as CSV."""
    require(request, SYNTHESIZE_DATA)
    out = io.StringIO()
    synthetic_rows_write(synthetic_get(synthetic), out)
    name = f'attachment; filename="synthetic-{synthetic}.csv"'
    return HttpResponse(out.getvalue(), content_type="text/csv", headers={"Content-Disposition": name})


@dashboard_view
def synthetic_cancel(request: HttpRequest, synthetic: int) -> HttpResponse:
    """Ask for confirmation, then cancel a job that has not ended."""
    require(request, CANCEL_JOB)
    found = synthetic_get(synthetic)
    if request.method != "POST":
        question = Question(
            f"Cancel synthetic job {found.pk}?",
            "It stops at its next report of progress and writes nothing.",
            "Cancel the job",
        )
        return confirm(request, question, check=lambda: _check_open(found))
    _check_open(found)
    if job_cancel(job_id=found.job_id or 0, actor=request.user.get_username()):
        messages.success(request, f"Synthetic job {found.pk} is being cancelled.")
    return HttpResponseRedirect(reverse("synthetic-job", args=[found.pk]))


def _check_open(found: SyntheticJob) -> None:
    if found.state not in OPEN_STATES:
        raise Conflict(f"synthetic job {found.pk} is over ({found.state}); there is nothing to cancel")


def _state(request: HttpRequest, pk: int) -> dict[str, Any]:
    """Return the template context of one job."""
    found = synthetic_get(pk)
    told = synthetic_summary(found)
    is_open = found.state in OPEN_STATES
    return {
        "job": found,
        "told": told,
        "chip": _chip(found),
        "scores": [_score(found, name) for name in _SCORES] if found.accepted is not None else [],
        "is_open": is_open,
        "percent": found.job.percent if found.job is not None else 100,
        "headline": _headline(found, told["rows"]),
        "report": report_is_kept(found),
        "has_rows": rows_are_kept(found) and request.user.has_perm(SYNTHESIZE_DATA),
        "may_cancel": is_open and request.user.has_perm(CANCEL_JOB),
    }


def _score(found: SyntheticJob, name: str) -> dict[str, Any]:
    value, bar = getattr(found, name), found.threshold or 0.0
    passed = not any(failure["score"] == name for failure in found.failures)
    return {
        "name": name,
        "value": f"{value:.2f}",
        "bar": f"{bar:g}",
        "chip": chip_of(*(("pass",) * 2 if passed else ("fail",) * 2)),
    }


def _chip(found: SyntheticJob) -> dict[str, str]:
    if found.state in OPEN_STATES:
        return chip_of("running" if found.state == "running" else "waiting", found.state)
    if found.accepted is None:
        return chip_of("fail" if found.state == "failed" else "waiting", found.state)
    return chip_of("pass", "kept") if found.accepted else chip_of("fail", "refused")


def _headline(found: SyntheticJob, rows: int) -> str:
    """Return one sentence, which screen readers announce when it changes."""
    if found.state in OPEN_STATES:
        message = found.job.message if found.job is not None else ""
        return f"The job is {found.state}{f': {message}' if message else ''}."
    if found.accepted is None:
        return f"The job was {found.state} and wrote nothing."
    return (
        f"The scores pass, and {rows:,} rows were kept."
        if found.accepted
        else "A score is below its bar, so no rows were kept."
    )


def _whole(given: Mapping[str, Any], name: str) -> int:
    text = str(given.get(name, "")).strip()
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise InputError(f"{name} {text[:40]!r} must be a whole number")
    return int(text)


def _number(given: Mapping[str, Any], name: str) -> float:
    try:
        return float(given.get(name, ""))
    except ValueError:
        raise InputError(f"{name} {str(given.get(name))[:40]!r} must be a number") from None
