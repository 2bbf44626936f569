"""Privacy budgets and the ledger of charges. Amounts are integers, and database CHECK constraints enforce every cap."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from privacy.models.person import Person
from privacy.models.release import Release

WINDOWS = ("day", "week", "month", "lifetime")
CHANGE_CAPS = "privacy.change_caps"


class PrivacyBudget(models.Model):
    """One person's budget: policy units by window, and separately the formal lifetime rho. The two are never added.

    Amounts are in nano (1e-9). The charging UPDATE rolls windows (UTC) when needed. ``consent_mask`` is stored here so that
    consent and budget are read under one lock. ``formal_void_at`` is the time of the first charge without a formal guarantee.
    """

    person = models.OneToOneField(Person, on_delete=models.CASCADE, primary_key=True, related_name="budget")
    consent_mask = models.PositiveSmallIntegerField(default=0)
    spent_day = models.BigIntegerField(default=0)
    spent_week = models.BigIntegerField(default=0)
    spent_month = models.BigIntegerField(default=0)
    spent_lifetime = models.BigIntegerField(default=0)
    cap_day = models.BigIntegerField()
    cap_week = models.BigIntegerField()
    cap_month = models.BigIntegerField()
    cap_lifetime = models.BigIntegerField()
    day = models.DateField(help_text="The UTC day that spent_day belongs to.")
    week = models.DateField(help_text="The Monday that spent_week belongs to.")
    month = models.DateField(help_text="The first of the month that spent_month belongs to.")
    rho_spent = models.BigIntegerField(default=0)
    rho_cap = models.BigIntegerField()
    formal_void_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "privacy_budget"
        permissions = [("change_caps", "Can change the caps of people's budgets, with a reason")]
        constraints = [
            *(
                models.CheckConstraint(
                    condition=Q(**{f"spent_{w}__gte": 0}) & Q(**{f"spent_{w}__lte": F(f"cap_{w}")}),
                    name=f"budget_{w}_within_cap",
                )
                for w in WINDOWS
            ),
            models.CheckConstraint(
                condition=Q(rho_spent__gte=0) & Q(rho_spent__lte=F("rho_cap")), name="budget_rho_within_cap"
            ),
            models.CheckConstraint(condition=Q(consent_mask__lte=7), name="budget_consent_mask_known"),
        ]

    def __str__(self) -> str:
        return f"budget of person {self.person_id}"


class LedgerEntry(models.Model):
    """The charge of one release to one person. Append-only.

    The two references have no database constraint, because checking them would cost as much as the charge. They are safe without
    one. A charge writes ids of budgets that it has just updated, and of a release that it has locked. Neither can be deleted
    while the entry exists: the budget's own reference and a trigger on the log prevent it.
    """

    release = models.ForeignKey(
        Release, on_delete=models.PROTECT, related_name="entries", db_constraint=False, db_index=False
    )
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="ledger_entries", db_constraint=False)
    policy_cost = models.BigIntegerField(help_text="Nano policy units.")
    rho = models.BigIntegerField(help_text="Nano rho (zero-concentrated differential privacy).")

    class Meta:
        db_table = "ledger_entries"
        verbose_name_plural = "ledger entries"
        constraints = [
            models.UniqueConstraint(fields=["release", "person"], name="ledger_entry_once"),
            models.CheckConstraint(condition=Q(policy_cost__gt=0) & Q(rho__gte=0), name="ledger_entry_positive"),
        ]

    def __str__(self) -> str:
        return f"entry {self.pk}"
