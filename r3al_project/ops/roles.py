"""Roles as groups of permissions: one an action, given here and checked everywhere by its own name."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db import transaction

_ACTS = {
    "start": "turns.start_turn",
    "cancel": "jobs.cancel_job",
    "deploy": "deployments.deploy_version",
    "override": "deployments.override_comparison",
    "rollback": "deployments.rollback_version",
    "serve": "privacy.serve_people",
    "anonymize": "privacy.anonymize_data",
    "caps": "privacy.change_caps",
    "erase": "privacy.erase_person",
}
_SHOWN = ("loops", "training", "deployments", "turns", "jobs")  # apps whose records say nothing of one person
_PRIVACY_SHOWN = ("release", "privacybudget", "consent", "ledgerentry", "vaultevent", "vaultbatch", "signalimport")

ROLES: dict[str, tuple[str, ...]] = {
    "Operator": (_ACTS["start"], _ACTS["cancel"], _ACTS["deploy"], _ACTS["override"], _ACTS["rollback"]),
    "Privacy officer": (_ACTS["rollback"], _ACTS["cancel"], _ACTS["anonymize"], _ACTS["caps"], _ACTS["erase"]),
    "Analyst": (),
    "Viewer": (),
    "Service": (_ACTS["serve"],),  # it may also erase the people that it names, as they may themselves
}


@transaction.atomic
def roles_sync() -> int:
    """Make the groups and give each its permissions; what an administrator added stays. Returns how many were added."""
    added = 0
    for name, acts in ROLES.items():
        group, _ = Group.objects.get_or_create(name=name)
        wanted = {_permission(act) for act in acts} | set(_views(name))
        missing = wanted - set(group.permissions.all())
        group.permissions.add(*missing)
        added += len(missing)
    return added


def _permission(name: str) -> Permission:
    app, codename = name.split(".")
    return Permission.objects.get(content_type__app_label=app, codename=codename)


def _views(role: str) -> list[Permission]:
    if role == "Service":
        return []
    views = Permission.objects.filter(codename__startswith="view_")
    shown = list(views.filter(content_type__app_label__in=_SHOWN))
    if role in ("Privacy officer", "Analyst"):
        shown += views.filter(content_type__app_label="privacy", content_type__model__in=_PRIVACY_SHOWN)
    return shown
