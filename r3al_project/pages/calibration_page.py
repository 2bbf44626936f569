"""The calibration page: what gates estimated of each version beside what people then lived, and who was held back for it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from core.sentences import sentence
from deployments.selectors.slots import slots_in_use
from loops.selectors import loop_versions_current
from r3al_project.pages.front_page import chip_of
from r3al_project.pages.health_cards import holdback_words
from r3al_project.pages.operator_views import dashboard_view
from training.selectors.calibration import CalibrationRow, calibration_of
from training.selectors.calibration_words import (
    interval_words,
    lived_words,
    spaced,
    summaries_by_metric,
    tendency_words,
)

_ROWS = 100
_STATES = {"held": "pass", "missed": "insufficient", "contradicted": "fail"}


@dashboard_view
def calibration_page(request: HttpRequest) -> HttpResponse:
    """Show the newest versions of one loop, or of all loops, with the summaries of all versions."""
    loops = sorted(version.loop.name for version in loop_versions_current())
    loop = request.GET.get("loop", "") if request.GET.get("loop", "") in loops else ""
    table = calibration_of(loop or None)
    lines = [*summaries_by_metric(table), *tendency_words(table.overall), table.overall.sentence]
    shown = {
        "title": "Were the gates right?",
        "loops": loops,
        "loop": loop,
        "rows": [_row(row) for row in table.rows[:_ROWS]],
        "left_out": max(len(table.rows) - _ROWS, 0),
        "summaries": [sentence(line) for line in lines],
        "holdbacks": _holdbacks(),
    }
    return render(request, "training/calibration.html", admin.site.each_context(request) | shown)


def _row(row: CalibrationRow) -> dict[str, Any]:
    state = row.comparison.state
    return {
        "version": row.version,
        "metric": spaced(row.comparison.metric),
        "gate": spaced(row.gate_source),
        "estimated": interval_words(row.comparison.gate),
        "lived": lived_words(row) or "nothing yet",
        "chip": chip_of(_STATES.get(state, "waiting"), state),
    }


def _holdbacks() -> list[dict[str, Any]]:
    """Return the holdback of each slot with a deployed learned version. Without one, relative harm cannot be seen."""
    slots = slots_in_use().select_related("loop", "stable", "holdback").order_by("loop__name", "id")
    return [{"slot": slot, "words": holdback_words(slot)} for slot in slots if slot.stable.is_learned]
