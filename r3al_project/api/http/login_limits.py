"""Limit failed logins, at the API and in the admin alike. The counts are rows, so that all processes share them."""

from __future__ import annotations

from math import ceil
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Max, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from core.durations import CLOCK_TOLERANCE
from core.problem_json import problem
from r3al_project.api.http.client_address import client_address
from r3al_project.api.http.errors import is_api

FAILURES_PER_ADDRESS = 50  # of all user names together; settings limit the failures of one user name from one address
Credentials = dict[str, Any] | None


class LoginLimits(AxesDatabaseHandler):
    """Refuse a login after too many failures for its user name and address, or from its address under any user names."""

    def is_locked(self, request: Any, credentials: Credentials = None) -> bool:
        """Return whether a login must be refused before its password is read."""
        _date_back()
        failures = _recent_from(request).aggregate(n=Sum("failures_since_start"))["n"] or 0
        return failures >= FAILURES_PER_ADDRESS or bool(super().is_locked(request, credentials))

    def user_login_failed(self, sender: Any, credentials: dict, request: Any = None, **kwargs: Any) -> None:
        """Count a failure without the address of a page in it, and forget all failures that limit nobody any more."""
        super().user_login_failed(sender, credentials, request, **kwargs)
        AccessAttempt.objects.exclude(get_data="", post_data="").update(get_data="", post_data="")  # may name a person
        AccessAttempt.objects.filter(attempt_time__lt=timezone.now() - settings.AXES_COOLOFF_TIME).delete()


def _date_back() -> None:
    """Let failures of a clock that was set back limit for one cool-off from now, not until their time has come."""
    ahead = AccessAttempt.objects.filter(attempt_time__gt=timezone.now() + CLOCK_TOLERANCE)
    if ahead.exists():  # a write waits for SQLite's one lock
        ahead.update(attempt_time=timezone.now())


def _recent_from(request: HttpRequest) -> QuerySet[AccessAttempt]:
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    recent: QuerySet[AccessAttempt] = AccessAttempt.objects.filter(attempt_time__gte=since)
    return recent.filter(ip_address=client_address(request))


def login_refused(request: HttpRequest, response: HttpResponse, credentials: Credentials) -> HttpResponse:
    """Answer 429 with the seconds until failures from this address limit nobody: a problem document, or a page."""
    latest = _recent_from(request).aggregate(at=Max("attempt_time"))["at"] or timezone.now()
    seconds = max(1, ceil((latest + settings.AXES_COOLOFF_TIME - timezone.now()).total_seconds()))
    if is_api(request):
        return problem(429, f"too many logins failed; try again in {seconds} seconds", retry_after=seconds)
    page = render(request, "429.html", {"minutes": ceil(seconds / 60)}, status=429)
    page["Retry-After"] = str(seconds)
    return page
