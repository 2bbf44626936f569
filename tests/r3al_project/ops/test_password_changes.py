"""A password change ends the account's API tokens, whatever changes it. A login that only renews the hash ends none."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken

from tests.factories.users import superuser, token_for

pytestmark = pytest.mark.django_db
OLD, NEW = "an old pass phrase", "a new and long pass phrase"


@pytest.fixture
def ann() -> User:
    user = User.objects.create_user("ann", password=OLD)
    token_for(user)
    return user


@pytest.fixture
def ben() -> User:
    user = User.objects.create_user("ben", password=OLD)
    token_for(user)
    return user


def held(user: User) -> int:
    return int(AuthToken.objects.filter(user=user).count())


def test_a_new_password_ends_them_and_nobody_elses(ann: User, ben: User) -> None:
    ann.set_password(NEW)
    assert held(ann) == 1, "not before it is saved"
    ann.save()
    assert held(ann) == 0 and held(ben) == 1


def test_a_password_that_is_taken_away_ends_them(ann: User) -> None:
    ann.set_unusable_password()
    ann.save(update_fields=["password"])
    assert held(ann) == 0


def test_the_admins_form_ends_them(ann: User) -> None:
    client: Client = superuser("root")
    sent = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    client.post(reverse("admin:auth_user_password_change", args=[ann.pk]), sent)
    assert held(ann) == 0 and authenticate(HttpRequest(), username="ann", password=NEW) is not None


def test_other_changes_and_logins_end_none(ann: User, settings: Any) -> None:
    ann.email = "ann@example.org"
    ann.save()
    ann.save(update_fields=["last_login"])
    settings.PASSWORD_HASHERS = [*settings.PASSWORD_HASHERS, "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    older = make_password(OLD, hasher="pbkdf2_sha256")
    User.objects.filter(pk=ann.pk).update(password=older)
    assert authenticate(HttpRequest(), username="ann", password=OLD) is not None
    assert User.objects.get(pk=ann.pk).password != older and held(ann) == 1
