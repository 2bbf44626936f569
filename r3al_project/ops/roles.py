"""Define the roles as groups of permissions. Views and pages check permissions, never roles."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db import transaction

_ACTIONS = {
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
_VISIBLE_APPS = (
    "loops",
    "training",
    "deployments",
    "turns",
    "jobs",
)  # apps whose records describe no individual person
_VISIBLE_PRIVACY_MODELS = (
    "release",
    "privacybudget",
    "consent",
    "ledgerentry",
    "vaultevent",
    "vaultbatch",
    "signalimport",
)

ROLES: dict[str, tuple[str, ...]] = {
    "Operator": (_ACTIONS["start"], _ACTIONS["cancel"], _ACTIONS["deploy"], _ACTIONS["override"], _ACTIONS["rollback"]),
    "Privacy officer": (
        _ACTIONS["rollback"],
        _ACTIONS["cancel"],
        _ACTIONS["anonymize"],
        _ACTIONS["caps"],
        _ACTIONS["erase"],
    ),
    "Analyst": (),
    "Viewer": (),
    "Service": (_ACTIONS["serve"],),  # a service may also erase the people that it names, as they may erase themselves
}


@transaction.atomic
def roles_sync() -> int:
    """Create the groups and add missing permissions. Returns how many were added.

    A permission that an administrator added stays.
    """
    added = 0
    for name, actions in ROLES.items():
        group, _ = Group.objects.get_or_create(name=name)
        expected = {_permission(action) for action in actions} | set(_view_permissions(name))
        missing = expected - set(group.permissions.all())
        group.permissions.add(*missing)
        added += len(missing)
    return added


def _permission(name: str) -> Permission:
    app, codename = name.split(".")
    return Permission.objects.get(content_type__app_label=app, codename=codename)


def _view_permissions(role: str) -> list[Permission]:
    if role == "Service":
        return []
    permissions = Permission.objects.filter(codename__startswith="view_")
    shown = list(permissions.filter(content_type__app_label__in=_VISIBLE_APPS))
    if role in ("Privacy officer", "Analyst"):
        shown += permissions.filter(content_type__app_label="privacy", content_type__model__in=_VISIBLE_PRIVACY_MODELS)
    return shown
