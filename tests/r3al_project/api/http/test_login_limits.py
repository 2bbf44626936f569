"""Failed logins are limited at both doors together; what a client writes into a header changes nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from r3al_project.api.http.login_limits import FAILURES_PER_ADDRESS

pytestmark = pytest.mark.django_db
PASSWORD = "a long pass phrase"
ADMIN, API = "/admin/login/", "/api/v1/auth/login"


@pytest.fixture(autouse=True)
def ada() -> User:
    return User.objects.create_superuser("ada", password=PASSWORD)


def at_the_api(password: str, name: str = "ada", peer: str = "192.0.2.1", **headers: str) -> Any:
    body = json.dumps({"username": name, "password": password})
    return Client().post(API, body, content_type="application/json", REMOTE_ADDR=peer, headers=headers)


def at_the_admin(password: str, name: str = "ada", peer: str = "192.0.2.1", **headers: str) -> Any:
    return Client().post(ADMIN, {"username": name, "password": password}, REMOTE_ADDR=peer, headers=headers)


DOORS = [at_the_api, at_the_admin]


def fail(times: int, **given: Any) -> None:
    for number in range(times):
        DOORS[number % 2]("wrong", **given)


def test_a_wrong_password_alone_is_no_429() -> None:
    assert at_the_api("wrong").status_code == 401 and at_the_admin("wrong").status_code == 200


@pytest.mark.parametrize("door", DOORS)
def test_after_failures_at_either_door_both_refuse_the_right_password_too(door: Any) -> None:
    fail(settings.AXES_FAILURE_LIMIT)
    refused = door(PASSWORD)
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= settings.AXES_COOLOFF_TIME.total_seconds()


@pytest.mark.parametrize("door", DOORS)
def test_failures_of_a_clock_that_was_set_back_limit_for_one_cool_off(door: Any) -> None:
    fail(settings.AXES_FAILURE_LIMIT)
    AccessAttempt.objects.update(attempt_time=timezone.now() + timedelta(hours=25))
    refused = door(PASSWORD)
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= settings.AXES_COOLOFF_TIME.total_seconds()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "User-Agent"])
def test_no_header_resets_the_limit(door: Any, header: str) -> None:
    for number in range(settings.AXES_FAILURE_LIMIT):
        door("wrong", **{header: f"203.0.113.{number}"})
    assert door(PASSWORD, **{header: "203.0.113.99"}).status_code == 429


def test_a_refusal_is_a_problem_document_at_the_api_and_a_page_in_the_admin() -> None:
    fail(settings.AXES_FAILURE_LIMIT)
    assert json.loads(at_the_api(PASSWORD).content)["status"] == 429
    assert "Too many failed logins" in at_the_admin(PASSWORD).content.decode()


def test_others_are_not_locked_out_by_it() -> None:
    fail(settings.AXES_FAILURE_LIMIT)
    assert at_the_api(PASSWORD, peer="192.0.2.2").status_code == 200, "the same name from elsewhere"
    User.objects.create_user("ben", password=PASSWORD)
    assert at_the_api(PASSWORD, name="ben").status_code == 200, "another name from the same address"


def test_one_address_cannot_try_many_names() -> None:
    for number in range(FAILURES_PER_ADDRESS):
        at_the_api("wrong", name=f"name-{number}")
    assert at_the_api(PASSWORD).status_code == at_the_admin(PASSWORD).status_code == 429
    assert at_the_api(PASSWORD, peer="192.0.2.2").status_code == 200


def test_a_right_password_forgets_the_failures_before_it() -> None:
    fail(settings.AXES_FAILURE_LIMIT - 1)
    assert at_the_api(PASSWORD).status_code == 200
    fail(settings.AXES_FAILURE_LIMIT - 1)
    assert at_the_api(PASSWORD).status_code == 200


def test_a_refused_login_does_not_prolong_the_wait_and_the_wait_ends() -> None:
    fail(settings.AXES_FAILURE_LIMIT)
    AccessAttempt.objects.update(attempt_time=timezone.now() - settings.AXES_COOLOFF_TIME + timedelta(seconds=30))
    assert int(at_the_api(PASSWORD)["Retry-After"]) <= 30
    AccessAttempt.objects.update(attempt_time=timezone.now() - settings.AXES_COOLOFF_TIME - timedelta(seconds=1))
    assert at_the_api(PASSWORD).status_code == 200


def test_failures_that_limit_nobody_are_forgotten_and_no_password_is_stored() -> None:
    at_the_admin("my-secret-typo")
    kept = AccessAttempt.objects.get()
    assert kept.post_data == kept.get_data == "", "a parameter may name a person"
    AccessAttempt.objects.update(attempt_time=timezone.now() - settings.AXES_COOLOFF_TIME - timedelta(seconds=1))
    at_the_api("wrong", name="somebody", peer="192.0.2.3")
    assert AccessAttempt.objects.values_list("username", flat=True).get() == "somebody"
