"""The privacy page: budgets and consents as counts, latest releases, retention, and the state of the Trust Vault and keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from deployments.models import EvidenceUnit
from deployments.selectors.health import EVIDENCE_KEPT
from privacy.models import Release, ReleaseState
from privacy.selectors.budgets import budgets_overview
from privacy.selectors.retention import RetentionRule, retention, retention_of
from privacy.selectors.vault import vault_status
from privacy.services.people.data_keys import keys_waiting
from r3al_project.pages.operator_views import require
from r3al_project.permissions import VIEW_BUDGETS
from training.models import TrainingDataPool

_RELEASES = 8
_WINDOWS = {
    "day": "Day",
    "week": "Week",
    "month": "Month",
    "lifetime": "Lifetime (policy units)",
    "formal": "Lifetime (formal rho)",
}


def _state() -> dict[str, Any]:
    """Return the template context. Counts of people are rounded to two digits, and no entry describes one person."""
    budgets = budgets_overview()
    standing = {**budgets["windows"], "formal": budgets["formal"]}
    return {
        "budgets": budgets,
        "standing": [(words, standing[name]) for name, words in _WINDOWS.items()],
        "releases": Release.objects.select_related("loop_version__loop").order_by("-pk")[:_RELEASES],
        "reserved": Release.objects.filter(state=ReleaseState.RESERVED).count(),
        "retention": retention_rules(),
        "vault": vault_status(),
        "keys_waiting": keys_waiting(),
    }


def retention_rules() -> list[RetentionRule]:
    """Return the retention rules of privacy, deployments and training."""
    pool = TrainingDataPool.objects.all()
    chunks = retention_of(
        "pool chunks (released and synthetic rows)", pool, "expires_at", timedelta(0), of_people=False
    )
    return [
        *retention(),
        retention_of("evidence about versions", EvidenceUnit.objects.all(), "closes_at", EVIDENCE_KEPT),
        chunks,
    ]


@admin.site.admin_view
def privacy_page(request: HttpRequest) -> HttpResponse:
    """Show the page to accounts that may see budgets."""
    require(request, VIEW_BUDGETS)
    shown = admin.site.each_context(request) | {"title": "Privacy"} | _state()
    return render(request, "admin/privacy_page.html", shown)
