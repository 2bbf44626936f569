"""Check that an account may ask for an act, or decide about it. The account is read anew, whatever the session remembers."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser, AnonymousUser

from core.errors import Forbidden
from privacy.services.approvals.second_operator import OperatorAccount


def operator_of(user: AbstractBaseUser | AnonymousUser) -> OperatorAccount:
    """Return who acts in a request, whether by a session or by a token."""
    return OperatorAccount(user.get_username(), user.pk)


def account_with(number: int | None, permissions: Iterable[str]) -> AbstractUser:
    """Return an active account that has all permissions. Raises Forbidden."""
    active = get_user_model().objects.filter(is_active=True)
    found: AbstractUser | None = None if number is None else active.filter(pk=number).first()
    if found is None:
        raise Forbidden("the account is gone or no longer active")
    lacking = [permission for permission in permissions if not found.has_perm(permission)]
    if lacking:
        raise Forbidden(
            f"the account {found.get_username()} lacks {', '.join(lacking)}; ask an administrator for another role"
        )
    return found
