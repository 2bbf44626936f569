"""Change the caps of a person's budget, for a reason, and record the change in the Trust Vault."""

from __future__ import annotations

from django.db import models, transaction

from core import clock
from core.errors import InputError, NotFound
from privacy.engine.budget_windows import first_day
from privacy.engine.dp.accounting import NANO, nano_down
from privacy.models import PrivacyBudget, VaultKind
from privacy.models.budget import WINDOWS
from privacy.selectors.budgets import spent_now
from privacy.services.vault.append import subject_of, vault_append
from privacy.services.vault.stored_rows import caps_entry

LARGEST_CAP = 1_000_000.0  # units: far above any sensible cap, and well within the range of the column
LIFETIME_RHO = "rho"


class CapReason(models.TextChoices):
    """Reasons for a change of a cap, as the Trust Vault records them. A free text could describe the person for ever."""

    REQUEST = "request", "the person asked for it"
    RULES = "rules", "the rules of this installation changed"
    STUDY = "study", "the person takes part in a study with rules of its own"
    MISTAKE = "mistake", "an earlier change was a mistake"


@transaction.atomic
def cap_change(*, person_id: int, window: str, cap: float, reason: CapReason, actor: str) -> PrivacyBudget:
    """Set one cap, rounded down to whole nano: policy units of day, week, month or lifetime, or the formal lifetime ``rho``.

    A cap of 0 ends all use. Raises InputError for a cap below what is spent today, for a larger ``rho``, because the smaller one
    was promised, and for invalid arguments. Raises NotFound for an unknown person.
    """
    if window not in (*WINDOWS, LIFETIME_RHO):
        raise InputError(f"there is no cap {window!r}; it is one of {', '.join((*WINDOWS, LIFETIME_RHO))}")
    if reason not in CapReason.values:
        raise InputError(f"there is no reason {reason!r}; it is one of {', '.join(CapReason.values)}")
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
        body={
            "cap": window,
            "from_nano": before,
            "to_nano": nano,
            "reason": CapReason(reason).value,
            "actor": actor[:80],
        },
        subject=subject_of(budget.person),
        rows=caps_entry(budget),
    )
    return budget


def _rolled(budget: PrivacyBudget, window: str) -> int:
    """Return what counts against a window today. A past window is rolled in the row, as a charge would roll it."""
    today = clock.now().date()
    spent = spent_now(budget, window, today)
    setattr(budget, f"spent_{window}", spent)
    if window != "lifetime":
        setattr(budget, window, max(getattr(budget, window), first_day(window, today)))
    return spent
