"""Who mistyped a password, and from where, is forgotten soon after it limits nobody, although nobody fails again."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from knox.models import AuthToken

from jobs.schedules import schedules_sync
from r3al_project.ops.expired_logins import logins_expire
from r3al_project.ops.tasks import expire_logins

pytestmark = pytest.mark.django_db


def fail(name: str) -> None:
    body = {"username": name, "password": "wrong"}
    assert Client().post("/api/v1/auth/login", body, content_type="application/json").status_code == 401


def age(rows: Any, seconds: float) -> None:
    """Make rows older than the cool-off by so many seconds."""
    rows.objects.update(attempt_time=timezone.now() - settings.AXES_COOLOFF_TIME - timedelta(seconds=seconds))


@pytest.mark.parametrize("expire", [logins_expire, expire_logins, lambda: call_command("expire")])
def test_a_failed_login_is_forgotten_without_another_failure(expire: Any) -> None:
    fail("ada@example.org")
    age(AccessAttempt, 1)
    expire()
    assert not AccessAttempt.objects.exists()


def test_one_that_still_limits_somebody_is_kept() -> None:
    fail("ada@example.org")
    age(AccessAttempt, -30)
    assert logins_expire() == 0 and AccessAttempt.objects.count() == 1


@pytest.mark.parametrize("rows", [AccessLog, AccessFailureLog])
def test_logs_of_logins_that_a_setting_or_an_earlier_version_wrote_go_too(rows: Any) -> None:
    rows.objects.create(username="ada@example.org", ip_address="192.0.2.1", user_agent="browser")
    age(rows, 1)
    assert logins_expire() == 1 and not rows.objects.exists()


def test_sessions_and_tokens_that_have_ended_go_and_others_stay() -> None:
    user, now = User.objects.create_user("ada"), timezone.now()
    for days in (-1, 1):
        AuthToken.objects.create(user, expiry=timedelta(days=days))
        store = import_module(settings.SESSION_ENGINE).SessionStore()
        store["_auth_user_id"] = str(user.pk)
        store.set_expiry(now + timedelta(days=days))
        store.save()
    assert logins_expire() == 2
    assert AuthToken.objects.get().expiry > now and Session.objects.get().expire_date > now


def test_the_scheduler_does_it_as_often_as_the_cool_off() -> None:
    schedules_sync()
    every = PeriodicTask.objects.get(task="ops.expire_logins").interval
    assert every is not None and every.every == settings.AXES_COOLOFF_TIME.total_seconds()
