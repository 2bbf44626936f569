"""Roles as groups of permissions: one an action, given here and checked everywhere by its own name."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from r3al_project.permissions import (
    ANONYMIZE_DATA,
    CANCEL_JOB,
    CHANGE_CAPS,
    DEPLOY_VERSION,
    ERASE_PERSON,
    OVERRIDE_COMPARISON,
    ROLLBACK_VERSION,
    SERVE_PEOPLE,
    START_TURN,
)

_SHOWN = ("loops", "training", "deployments", "turns", "jobs")  # apps whose records say nothing of one person
_PRIVACY_SHOWN = ("release", "privacybudget", "consent", "ledgerentry", "vaultevent", "vaultbatch", "signalimport")

ROLES: dict[str, tuple[str, ...]] = {
    "Operator": (START_TURN, CANCEL_JOB, DEPLOY_VERSION, OVERRIDE_COMPARISON, ROLLBACK_VERSION),
    "Privacy officer": (ROLLBACK_VERSION, CANCEL_JOB, ANONYMIZE_DATA, CHANGE_CAPS, ERASE_PERSON),
    "Analyst": (),
    "Viewer": (),
    "Service": (SERVE_PEOPLE,),  # it may also erase the people that it names, as they may themselves
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
