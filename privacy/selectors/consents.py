"""Read who consents to a purpose."""

from __future__ import annotations

from django.db.models import F, QuerySet

from privacy.models import PrivacyBudget, Purpose


def consented(purpose: Purpose) -> QuerySet[PrivacyBudget]:
    """Return the budgets of people who consent to a purpose."""
    return PrivacyBudget.objects.alias(granted=F("consent_mask").bitand(purpose.bit)).filter(granted__gt=0)
