"""The admin's sidebar: pages and lists, grouped by purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse_lazy

from r3al_project.permissions import VIEW_BUDGETS, VIEW_NOTICES, VIEW_SYNTHETIC, VIEW_VERSIONS

PRIVACY_PAGE = (
    "Overview",
    "policy",
    VIEW_BUDGETS,
)  # a page, whereas every other entry is a list of records


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of the sidebar. Unfold calls this for every admin page."""
    return [
        {"title": None, "items": [
            {"title": "Front page", "icon": "home", "link": reverse_lazy("admin:index"),
             "permission": _may_view(VIEW_VERSIONS)},
            {"title": "Training dashboard", "icon": "model_training", "link": reverse_lazy("training-dashboard"),
             "permission": _may_view(VIEW_VERSIONS)},
            {"title": "Synthetic data", "icon": "auto_awesome", "link": reverse_lazy("synthetic"),
             "permission": _may_view(VIEW_SYNTHETIC)},
            {"title": "Calibration", "icon": "target", "link": reverse_lazy("calibration"),
             "permission": _may_view(VIEW_VERSIONS)},
            {"title": "Notices", "icon": "notifications", "link": reverse_lazy("notices"),
             "permission": _may_view(VIEW_NOTICES)},
        ]},
        _group("The loop", ("Turns", "sync", "turns.turn"), ("Stages", "linear_scale", "turns.turnstage"),
               ("Second operators", "verified_user", "privacy.approval"),
               ("Jobs", "bolt", "jobs.job"), ("Loops", "all_inclusive", "loops.loop"),
               ("Loop files", "description", "loops.loopversion")),
        _group("Serving", ("Slots", "dns", "deployments.servingslot"), ("Deployments", "rocket_launch", "deployments.deployment"),
               ("Verdicts on rollouts", "balance", "deployments.rolloutcheck"),
               ("Acts on rollouts", "touch_app", "deployments.rolloutact"),
               ("Health", "monitor_heart", "deployments.healthcheck"), ("Incidents", "report", "deployments.incident"),
               ("Experiments", "science", "deployments.abexperiment")),
        _group("Learning", ("Versions", "deployed_code", "training.modelversion"), ("Verdicts", "gavel", "training.gateverdict"),
               ("Metrics", "monitoring", "training.modelmetric"), ("Episodes", "replay", "training.trainingepisode"),
               ("Synthetic jobs", "auto_awesome", "training.syntheticjob"), ("Pool", "dataset", "training.trainingdatapool")),
        _group("Privacy", PRIVACY_PAGE, ("Releases", "shield", "privacy.release"), ("Budgets", "wallet", "privacy.privacybudget"),
               ("Consents", "how_to_reg", "privacy.consent")),
        _group("Raw records", ("People", "group", "privacy.person"), ("Imports", "upload_file", "privacy.signalimport"),
               ("Decisions", "alt_route", "privacy.decision"), ("Choices", "check_circle", "privacy.choice"),
               ("Served", "quick_reference_all", "privacy.serveddecision"), ("Rewards", "reviews", "privacy.rewardevent"),
               ("Outcomes", "flag", "privacy.rewardsignal"), ("Signals", "sensors", "privacy.signal"),
               ("Accounts", "badge", "privacy.personaccount")),
        _group("Trust Vault", ("Events", "link", "privacy.vaultevent"), ("Batches", "inventory_2", "privacy.vaultbatch"),
               ("Checks", "verified", "privacy.vaultcheck")),
        _group("System", ("Webhooks", "webhook", "notices.webhookendpoint"), ("Deliveries", "outgoing_mail", "notices.delivery"),
               ("Schedules", "schedule", "django_celery_beat.periodictask"),
               ("Intervals", "timer", "django_celery_beat.intervalschedule"), ("Users", "person", "auth.user"),
               ("Groups", "groups", "auth.group")),
    ]  # fmt: skip


def _group(title: str, *items: tuple[str, str, str]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": [_item(*item) for item in items]}


def _item(title: str, icon: str, model: str) -> dict[str, Any]:
    if model == PRIVACY_PAGE[2]:
        return {"title": title, "icon": icon, "link": reverse_lazy("privacy-page"), "permission": _may_view(model)}
    app, name = model.split(".")
    link = reverse_lazy(f"admin:{app}_{name}_changelist")
    return {"title": title, "icon": icon, "link": link, "permission": _may_list(model)}


def _may_list(label: str) -> Callable[[HttpRequest], bool]:
    pages = admin.site._registry.items()
    return lambda request: any(p.has_view_permission(request) for m, p in pages if m._meta.label_lower == label)


def _may_view(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)
