"""Read the caps that a new person's budget gets."""

from __future__ import annotations

from django.conf import settings

from privacy.engine.dp.accounting import NANO, nano_up

UNITS = {"cap_day": 1, "cap_week": 2, "cap_month": 4, "cap_lifetime": 24}
_RENEWING = {
    "daily": ("cap_day",),
    "weekly": ("cap_day", "cap_week"),
    "monthly": ("cap_day", "cap_week", "cap_month"),
}
# Epsilon 8 at delta 1e-6 over a lifetime, by Gaussian privacy: rho = mu^2 / 2, rounded down (a test computes it).
RHO_CAP = 1_172_815_223


def default_caps() -> dict[str, int]:
    """Return a new person's caps in nano policy units: 1, 2, 4 and 24 units, or more where one release may cost more.

    An operator who raises MAX_PRIVACY_EPSILON intends such a release to be possible. The lifetime rho has its own cap. Budgets
    renew at the latest every PRIVACY_BUDGET_PERIOD: longer windows have the lifetime's cap, so they never bind.
    """
    largest = nano_up(settings.MAX_PRIVACY_EPSILON)
    renewing = _RENEWING[settings.PRIVACY_BUDGET_PERIOD]
    units = {name: value if name in renewing else UNITS["cap_lifetime"] for name, value in UNITS.items()}
    return {name: max(value * NANO, largest) for name, value in units.items()}
