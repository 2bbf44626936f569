"""``manage.py revoke_tokens``: the tokens of one person or of one account end, and nobody else's."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from knox.models import AuthToken

from privacy.models import PersonAccount
from tests.factories.care import care_loop, person
from tests.factories.users import service_token

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def accounts() -> None:
    care_loop()
    for name in ("12", "ben"):
        person(name)
    service_token()


def revoke(*args: str) -> str:
    told = StringIO()
    call_command("revoke_tokens", *args, stdout=told)
    return told.getvalue()


def owners() -> set[str]:
    return set(AuthToken.objects.values_list("user__username", flat=True))


def test_of_a_person_by_the_apps_identifier() -> None:
    assert revoke("12.0", "--loop", "care") == "1 tokens are revoked\n"
    assert owners() == {"person-ben", "backend"} and PersonAccount.objects.count() == 2


def test_of_a_service_by_its_user_name() -> None:
    assert revoke("--account", "backend") == "1 tokens are revoked\n"
    assert owners() == {"person-12", "person-ben"} and User.objects.filter(username="backend").exists()


@pytest.mark.parametrize(
    "args",
    [(), ("12", "--account", "backend"), ("eve", "--loop", "care"), ("12", "--loop", "nowhere"), ("--account", "eve")],
)
def test_bad_use_says_what_to_do(args: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        revoke(*args)
    assert len(owners()) == 3
