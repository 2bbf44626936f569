"""Define the roles as groups of permissions. Views and pages check permissions, never roles."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from r3al_project.permissions import (
    ANONYMIZE_DATA,
    CANCEL_JOB,
    CHANGE_CAPS,
    DECIDE_APPROVAL,
    DEPLOY_VERSION,
    ERASE_PERSON,
    MANAGE_WEBHOOKS,
    OVERRIDE_COMPARISON,
    REVOKE_TOKENS,
    ROLLBACK_VERSION,
    SERVE_PEOPLE,
    START_TURN,
    SYNTHESIZE_DATA,
    VIEW_APPROVALS,
    VIEW_NOTICES,
    VIEW_PEOPLE,
)

_VISIBLE_APPS = (
    "loops",
    "training",
    "deployments",
    "turns",
    "jobs",
)  # apps whose records describe no individual person
# Who may change a webhook sees its address and its secret.
_WEBHOOKS = (
    MANAGE_WEBHOOKS,
    *(f"notices.{act}_webhookendpoint" for act in ("view", "add", "delete")),
    "notices.view_delivery",
)
_VISIBLE_PRIVACY_MODELS = (
    "release",
    "privacybudget",
    "consent",
    "vaultevent",
    "vaultbatch",
    "signalimport",
)

ROLES: dict[str, tuple[str, ...]] = {
    "Operator": (
        START_TURN,
        SYNTHESIZE_DATA,
        CANCEL_JOB,
        DEPLOY_VERSION,
        OVERRIDE_COMPARISON,
        ROLLBACK_VERSION,
        REVOKE_TOKENS,
        DECIDE_APPROVAL,
        VIEW_APPROVALS,
        VIEW_PEOPLE,
        VIEW_NOTICES,
        *_WEBHOOKS,
    ),
    "Privacy officer": (
        ROLLBACK_VERSION,
        CANCEL_JOB,
        ANONYMIZE_DATA,
        SYNTHESIZE_DATA,
        CHANGE_CAPS,
        ERASE_PERSON,
        REVOKE_TOKENS,
        DECIDE_APPROVAL,
        VIEW_APPROVALS,
        VIEW_PEOPLE,
        VIEW_NOTICES,
    ),
    "Analyst": (VIEW_NOTICES,),
    "Viewer": (VIEW_NOTICES,),
    "Service": (SERVE_PEOPLE,),  # a service may also erase the people that it names, as they may erase themselves
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
