"""Delete what the platform no longer needs of logins: failures that limit nobody, and sessions and tokens that have ended."""

from __future__ import annotations

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone
from knox.models import get_token_model


@transaction.atomic
def logins_expire() -> int:
    """Delete expired rows of logins. Returns their number.

    A failed login holds the user name as it was typed, the address and the browser; it limits nobody after the cool-off.
    """
    now = timezone.now()
    failures = [
        rows.objects.filter(attempt_time__lt=now - settings.AXES_COOLOFF_TIME)
        for rows in (AccessAttempt, AccessFailureLog, AccessLog)
    ]
    ended = [Session.objects.filter(expire_date__lt=now), get_token_model().objects.filter(expiry__lt=now)]
    return sum(rows.delete()[0] for rows in (*failures, *ended))
