"""Change the caps of a person's budget, with a reason, and record the change in the Trust Vault."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import transaction

from core.errors import InputError, NotFound
from privacy.engine.budget_windows import first_day
from privacy.engine.dp.accounting import NANO, nano_down
from privacy.models import PrivacyBudget, VaultKind
from privacy.models.budget import WINDOWS
from privacy.selectors.budgets import spent_now
from privacy.services.vault.append import subject_of, vault_append
from privacy.services.vault.stored_rows import caps_entry

SHORTEST_CAP_REASON, LONGEST_CAP_REASON = 10, 400
LARGEST_CAP = 1_000_000.0  # units: far above any sensible cap, and well within the range of the column
LIFETIME_RHO = "rho"


@transaction.atomic
def cap_change(*, person_id: int, window: str, cap: float, reason: str, actor: str) -> PrivacyBudget:
    """Set one cap, rounded down to whole nano: policy units of day, week, month or lifetime, or the formal lifetime ``rho``.

    A cap of 0 ends all use. Raises InputError for a cap below what is spent today, for a larger ``rho``, because the smaller one
    was promised, and for invalid arguments. Raises NotFound for an unknown person.
    """
    stated_reason = reason.strip()
    if not SHORTEST_CAP_REASON <= len(stated_reason) <= LONGEST_CAP_REASON:
        raise InputError(
            f"give a reason of {SHORTEST_CAP_REASON} to {LONGEST_CAP_REASON} characters; it is stored permanently"
        )
    if window not in (*WINDOWS, LIFETIME_RHO):
        raise InputError(f"there is no cap {window!r}; it is one of {', '.join((*WINDOWS, LIFETIME_RHO))}")
    if not 0 <= cap <= LARGEST_CAP:
        raise InputError(f"the cap is {cap:g}; it must lie between 0 and {LARGEST_CAP:g}")
    nano = nano_down(cap) if cap else 0
    budget = PrivacyBudget.objects.select_for_update(of=("self",)).select_related("person").filter(pk=person_id).first()
    if budget is None:
        raise NotFound(f"there is no person {person_id}")
    column = "rho_cap" if window == LIFETIME_RHO else f"cap_{window}"
    spent = budget.rho_spent if window == LIFETIME_RHO else _rolled(budget, window)
    before = getattr(budget, column)
    if nano < spent:
        raise InputError(f"the cap {cap:g} is below the {spent / NANO:g} already spent; set it to at least that")
    if window == LIFETIME_RHO and nano > before:
        raise InputError(f"the lifetime rho was promised to be at most {before / NANO:g}; it can only be lowered")
    setattr(budget, column, nano)
    budget.save()
    vault_append(
        kind=VaultKind.BUDGET,
        body={"cap": window, "from_nano": before, "to_nano": nano, "reason": stated_reason, "actor": actor[:80]},
        subject=subject_of(budget.person),
        rows=caps_entry(budget),
    )
    return budget


def _rolled(budget: PrivacyBudget, window: str) -> int:
    """Return what counts against a window today. A past window is rolled in the row, as a charge would roll it."""
    today = datetime.now(UTC).date()
    spent = spent_now(budget, window, today)
    setattr(budget, f"spent_{window}", spent)
    if window != "lifetime":
        setattr(budget, window, max(getattr(budget, window), first_day(window, today)))
    return spent
