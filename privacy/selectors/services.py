"""Read whether operators let any service act for people."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db.models import Q

from privacy.models.person import SERVE_PEOPLE


def people_may_be_served() -> bool:
    """Return whether an account may act for people: one with the permission, or a superuser who took a token.

    Without such an account nobody can register a person, so nobody was ever served. Only acts of operators decide it.
    """
    permission = SERVE_PEOPLE.partition(".")[2]
    may = Q(user_permissions__codename=permission) | Q(groups__permissions__codename=permission)
    may |= Q(is_superuser=True, auth_token_set__isnull=False)
    return bool(get_user_model().objects.filter(may, is_active=True).exists())
