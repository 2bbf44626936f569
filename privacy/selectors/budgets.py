"""Read budgets: rounded counts over all people, and the budget of one person."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from django.conf import settings
from django.db.models import Case, Count, F, FloatField, Q, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast

from core import clock
from privacy.engine.budget_windows import first_day, next_days
from privacy.engine.dp.accounting import NANO, epsilon_of_account
from privacy.engine.dp.coarse_counts import two_digits
from privacy.models import PrivacyBudget, Purpose
from privacy.models.budget import WINDOWS
from privacy.selectors.consents import consented

LIFETIME_DELTA = 1e-6
NEAR = 0.8  # share of a cap from which a budget counts as near it
PERIODS = {"day": "daily", "week": "weekly", "month": "monthly", "lifetime": "lifetime"}
PERIOD_NAMES = tuple(PERIODS.values())


def budgets_overview() -> dict[str, Any]:
    """Count budgets to two digits: people, consents, people near or at each cap, and people whose formal account is void."""
    people = PrivacyBudget.objects.filter(person__erased_at=None)
    counts: dict[str, Any] = {"period": settings.PRIVACY_BUDGET_PERIOD, "people": two_digits(people.count())}
    counts["consents"] = {p.value: two_digits(consented(p).filter(person__erased_at=None).count()) for p in Purpose}
    today = clock.now().date()
    counts["windows"] = {w: _window(people, w, today) for w in WINDOWS}
    counts["formal"] = _share(people.annotate(share=Cast(F("rho_spent"), FloatField()) / F("rho_cap")))
    counts["formal_void"] = two_digits(people.filter(formal_void_at__isnull=False).count())
    return counts


def _window(people: Any, window: str, today: date) -> dict[str, int]:
    spent: Combinable = F(f"spent_{window}")
    if window != "lifetime":  # spending of a past window no longer counts, although no charge has rolled it yet
        spent = Case(When(**{f"{window}__gte": first_day(window, today)}, then=spent), default=Value(0))
    return _share(people.annotate(share=Cast(spent, FloatField()) / F(f"cap_{window}")))


def _share(people: Any) -> dict[str, int]:
    found = people.aggregate(
        untouched=Count("pk", filter=Q(share=0)),
        some=Count("pk", filter=Q(share__gt=0, share__lt=NEAR)),
        near=Count("pk", filter=Q(share__gte=NEAR, share__lt=1)),
        spent=Count("pk", filter=Q(share__gte=1)),
    )
    return {name: two_digits(count) for name, count in found.items()}


def budget_summary(budget: PrivacyBudget) -> dict[str, Any]:
    """Summarise one person's budget: policy units by window, and separately the formal lifetime account with its epsilon.

    ``remaining`` is what every window still allows, and ``limited_by`` the window that allows least. ``period_ends`` and each
    window's ``ends`` are the times (UTC) at which a new window begins with nothing spent. None: never.
    """
    today = clock.now().date()
    windows = {w: _window_summary(budget, w, today) for w in WINDOWS}
    period = _period(budget)
    limit = min(windows, key=lambda w: windows[w]["cap"] - windows[w]["spent"])
    void = budget.formal_void_at
    return {
        "period": PERIODS[period],
        "remaining": windows[limit]["cap"] - windows[limit]["spent"],
        "limited_by": limit,
        "period_ends": windows[period]["ends"],
        "policy_units": windows,
        "formal": {
            "rho_spent": budget.rho_spent / NANO,
            "rho_cap": budget.rho_cap / NANO,
            "epsilon": None if void else epsilon_of_account(budget.rho_spent, LIFETIME_DELTA),
            "delta": LIFETIME_DELTA,
            "void_since": void,
        },
    }


def _window_summary(budget: PrivacyBudget, window: str, today: date) -> dict[str, Any]:
    next_day = next_days(today).get(window)
    return {
        "spent": spent_now(budget, window, today) / NANO,
        "cap": getattr(budget, f"cap_{window}") / NANO,
        "ends": next_day and datetime.combine(next_day, time(), UTC),
    }


def _period(budget: PrivacyBudget) -> str:
    """Return the longest window whose cap is below the lifetime's. The budget renews when that window does."""
    binding = [w for w in ("month", "week", "day") if getattr(budget, f"cap_{w}") < budget.cap_lifetime]
    return binding[0] if binding else "lifetime"


def spent_now(budget: PrivacyBudget, window: str, today: date) -> int:
    """Return the nano units that count against a cap today.

    Spending of a past window no longer counts, although no charge has rolled the window yet.
    """
    over = window != "lifetime" and getattr(budget, window) < first_day(window, today)
    return 0 if over else int(getattr(budget, f"spent_{window}"))
