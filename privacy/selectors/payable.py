"""Read who could pay a charge: consent and all caps in one condition, which the charge itself applies under its locks."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db.models import BigIntegerField, Case, Exists, F, OuterRef, QuerySet, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Greatest, Least

from core import clock
from loops.models import LoopVersion
from privacy.engine.budget_windows import first_days
from privacy.models import Decision, Person, PrivacyBudget, Purpose
from privacy.models.budget import WINDOWS
from privacy.selectors.consents import consented

BudgetColumns = dict[str, Combinable]


def cohort_people(
    loop_version: LoopVersion, population: str, folds: tuple[int, int], among: QuerySet[Person] | None
) -> QuerySet[Person]:
    """Return the people who could be in a release, whether or not they consent and have budget."""
    low, high = folds
    if among is None:
        decided = Decision.objects.filter(person=OuterRef("pk"), loop_version__loop_id=loop_version.loop_id)
        among = Person.objects.filter(Exists(decided))
    return among.filter(population=population, fold__gte=low, fold__lt=high)


def payable(
    *, policy_nano: int, rho_nano: int, purpose: Purpose, at: datetime | None = None
) -> QuerySet[PrivacyBudget]:
    """Return the budgets of people who consent and could pay this charge at a time; now if none is given."""
    return payable_after(columns_charged(policy_nano, rho_nano, at or clock.now()), purpose)


def payable_after(after: BudgetColumns, purpose: Purpose) -> QuerySet[PrivacyBudget]:
    """Return the budgets of people who consented and whose every cap has room for the charge.

    ``after`` holds the columns after the charge (``columns_charged``). It is one comparison instead of five: PostgreSQL would
    estimate that each one keeps a third of the people, and choose a plan for a handful of rows.
    """
    left = [F(f"cap_{w}") - after[f"spent_{w}"] for w in WINDOWS]
    return consented(purpose).alias(left=Least(*left, F("rho_cap") - after["rho_spent"])).filter(left__gte=0)


def columns_charged(policy_nano: int, rho_nano: int, at: datetime) -> BudgetColumns:
    """Return the columns that a charge changes, with their new values and windows rolled to the day (UTC) of ``at``."""
    cost, rho = nano_value(policy_nano), nano_value(rho_nano)
    columns: BudgetColumns = {
        "spent_lifetime": F("spent_lifetime") + cost,
        "rho_spent": F("rho_spent") + rho,
    }
    for window, first in first_days(at.astimezone(UTC).date()).items():
        rolled = Case(When(**{f"{window}__gte": first}, then=F(f"spent_{window}")), default=nano_value(0))
        columns[f"spent_{window}"] = rolled + cost
        columns[window] = Greatest(F(window), Value(first))
    return columns


def nano_value(amount: int) -> Value:
    """Return an amount of nano units as a value of a query."""
    return Value(amount, output_field=BigIntegerField())
