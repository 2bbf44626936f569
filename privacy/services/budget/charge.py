"""Charge people for a release, in one UPDATE that checks consent and all caps. Amounts are integers in nano units.

Reading a balance, checking it and saving it would let two releases spend the same budget. Here the row that is checked is the
row that is locked and written. The database's own CHECK constraints enforce every cap in addition.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from django.db import connection, transaction
from django.db.models import Case, F, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from core.errors import BudgetExceeded, Conflict
from core.update_sql import update_sql
from privacy.engine.budget_windows import first_days
from privacy.models import (
    LedgerEntry,
    Person,
    PrivacyBudget,
    Purpose,
    Release,
    ReleaseRound,
    ReleaseState,
    RewardSignal,
    VaultKind,
)
from privacy.selectors.payable import cohort_people, columns_charged, nano_value, payable_after
from privacy.services.budget.refusal import why_nobody
from privacy.services.vault.append import vault_append
from privacy.services.vault.deleted_rows import outcomes_lock
from privacy.services.vault.stored_rows import OUTCOMES_READ, RELEASES


@transaction.atomic
def cohort_charge(
    *,
    release: Release,
    population: str,
    folds: tuple[int, int],
    purpose: Purpose,
    among: QuerySet[Person] | None = None,
) -> int:
    """Charge everybody in the cohort who consented and has enough budget. Returns their number; ledger entries name them.

    The cohort is the people of ``population`` with fold in [lo, hi) who have a decision under any version of the release's loop.
    With ``among`` it is taken from those people instead. Raises BudgetExceeded when nobody could be charged, and Conflict when
    this release was charged before.
    """
    _lock_uncharged(release)
    people = cohort_people(release.loop_version, population, folds, among).values("pk")
    paying = payable_after(_after(release), purpose)
    # PostgreSQL takes the locks in person order, so charges never deadlock, and re-evaluates the conditions on rows
    # that changed while it waited. SQLite's transaction is IMMEDIATE: it holds the only write lock from the start.
    in_order = paying.filter(person_id__in=people).order_by("person_id").select_for_update().values("person_id")
    charged = _charge(paying.filter(person_id__in=in_order), release)
    if not charged:
        raise BudgetExceeded(why_nobody(release, people, purpose))
    return charged


def _charge(budgets: QuerySet[PrivacyBudget], release: Release) -> int:
    """Charge budgets and write an entry for each, in one statement on PostgreSQL. Returns how many."""
    statement = update_sql(budgets, _after(release))
    if statement is None:
        return 0
    update, values = statement
    entry = "INSERT INTO ledger_entries (release_id, person_id, policy_cost, rho)"
    fixed = [release.policy_cost, release.rho or 0]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL work_mem = '256MB'")  # for sorting the people, up to a million
            cursor.execute(
                f"WITH charged AS ({update} RETURNING person_id) {entry} SELECT %s, person_id, %s, %s FROM charged",  # noqa: S608
                [*values, release.pk, *fixed],
            )
            return int(cursor.rowcount)
        cursor.execute(f"{update} RETURNING person_id", values)
        people = cursor.fetchall()
        cursor.executemany(f"{entry} VALUES (%s, %s, %s, %s)", [(release.pk, *person, *fixed) for person in people])
        return len(people)


@transaction.atomic
def cohort_refund(*, release: Release) -> None:
    """Refund the charge of a release of which no round was stored. Its entries stay; its state marks them as void.

    A round that a worker is computing right now can no longer be stored afterwards. Windows that have rolled since are not
    changed. Raises Conflict once a round exists, and for a release that is not reserved.
    """
    state = Release.objects.select_for_update(no_key=True).values_list("state", flat=True).get(pk=release.pk)
    if state != ReleaseState.RESERVED:
        raise Conflict(f"{release} is {state}; only a reserved release can be refunded")
    if ReleaseRound.objects.filter(release=release).exists():
        raise Conflict(f"{release} has already drawn noise, so its charge stays; run it again to finish it")
    people = LedgerEntry.objects.filter(release=release).values("person_id")
    budgets = PrivacyBudget.objects.filter(person_id__in=people)
    in_order = budgets.order_by("person_id").select_for_update().values("person_id")
    PrivacyBudget.objects.filter(person_id__in=in_order).update(**_before(release))
    freed = outcomes_free(release)  # no round read these outcomes, so the next release may use them
    Release.objects.filter(pk=release.pk).update(state=ReleaseState.REFUNDED)
    release.refresh_from_db(fields=["state"])
    vault_append(
        kind=VaultKind.RELEASE,
        body={"release": release.pk, "state": release.state, "loop": str(release.loop_version)},
        rows=RELEASES.entries(Release.objects.filter(pk=release.pk)),
        sums=freed,
    )


def outcomes_free(release: Release) -> dict[str, int]:
    """Give the outcomes that a release would have read to the next one. Returns the sums for the event that records it."""
    outcomes = outcomes_lock(RewardSignal.objects.filter(release=release))
    freed = {OUTCOMES_READ.name: -OUTCOMES_READ.total(outcomes)}
    outcomes.update(release=None)
    return freed


def _lock_uncharged(release: Release) -> None:
    state = Release.objects.select_for_update(no_key=True).values_list("state", flat=True).get(pk=release.pk)
    if state != ReleaseState.RESERVED or LedgerEntry.objects.filter(release=release).exists():
        raise Conflict(f"{release} was already charged; a release is charged once, so use a new key")


def _after(release: Release) -> dict[str, Combinable]:
    """Return every column that a charge changes, with its new value and windows rolled to the release's day (UTC).

    A release without a formal guarantee voids the formal account: from then on its epsilon is unbounded.
    """
    columns = columns_charged(release.policy_cost, release.rho or 0, release.created_at)
    if release.rho is None:
        columns["formal_void_at"] = Coalesce(F("formal_void_at"), Value(release.created_at))
    return columns


def _before(release: Release) -> dict[str, Combinable]:
    """Return every column that a charge changed, with the charge subtracted where its window is still the current one."""
    cost, rho = nano_value(release.policy_cost), nano_value(release.rho or 0)
    columns: dict[str, Combinable] = {
        "spent_lifetime": F("spent_lifetime") - cost,
        "rho_spent": F("rho_spent") - rho,
    }
    if release.rho is None:
        # An account that was void before, by another export or by a folded spelling, stays void since then.
        others = Subquery(_other_exports(release).values("release__created_at")[:1])
        columns["formal_void_at"] = Case(
            When(formal_void_at=release.created_at, then=others), default=F("formal_void_at")
        )
    for window, first in _starts(release.created_at).items():
        current = Case(When(**{window: first}, then=cost), default=nano_value(0))
        columns[f"spent_{window}"] = F(f"spent_{window}") - current
    return columns


def _other_exports(release: Release) -> QuerySet[LedgerEntry]:
    """Return a person's valid charges for other releases without a formal guarantee, earliest first."""
    standing = LedgerEntry.objects.filter(person=OuterRef("person_id"), release__rho__isnull=True)
    return (
        standing.exclude(release=release).exclude(release__state=ReleaseState.REFUNDED).order_by("release__created_at")
    )


def _starts(at: datetime) -> dict[str, date]:
    today = at.astimezone(UTC).date()
    return first_days(today)
