"""Accounts: who has a role, single permissions or a service token, as an API token or a logged-in browser."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from knox.models import AuthToken


def token_for(user: User) -> str:
    """A new API token of somebody."""
    return str(AuthToken.objects.create(user)[1])


def token_of(role: str | None) -> str:
    """A token of somebody with a role, which the command ``roles`` made; or with none."""
    user = User.objects.create_user(f"user-{role}", password="a long pass phrase")
    if role:
        user.groups.add(Group.objects.get(name=role))
    return token_for(user)


def service_token() -> str:
    """A token that may act for people."""
    user = User.objects.create_user("backend")
    user.user_permissions.add(Permission.objects.get(codename="serve_people"))
    return token_for(user)


def browser(role: str) -> Client:
    """Staff with a role, which the command ``roles`` made, logged in; the user is called ``ROLE-1``."""
    user = User.objects.create_user(f"{role}-1", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return _logged_in(user)


def staff(*permissions: str, name: str = "colleague") -> Client:
    """Staff with these permissions (``app.codename``) and no others, logged in."""
    user = User.objects.create_user(name, is_staff=True)
    for app, _, codename in (permission.partition(".") for permission in permissions):
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return _logged_in(user)


def superuser(name: str = "operator") -> Client:
    """Somebody who may do everything, logged in."""
    return _logged_in(User.objects.create_superuser(name, password="a long password of tests"))


def _logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client
