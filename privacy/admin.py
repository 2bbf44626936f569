"""Admin of the privacy floor. Nothing raw is shown: no identifier, no state, no reward; people are bare numbers."""

from __future__ import annotations

from django.contrib import admin

from privacy.models import (
    Choice,
    Consent,
    Decision,
    LedgerEntry,
    Person,
    PrivacyBudget,
    Purpose,
    Release,
    ReleaseRound,
    RewardSignal,
    SignalImport,
)
from privacy.models.budget import NANO
from r3al_project.common.admin import ReadOnlyAdmin, ReadOnlyInline, display

STATE_LABELS = {"reserved": "warning", "committed": "success", "refunded": "info"}


@admin.register(Person)
class PersonAdmin(ReadOnlyAdmin):
    list_display = ("id", "population", "created_at")
    list_filter = ("population",)
    fields = ("population", "created_at")


@admin.register(PrivacyBudget)
class PrivacyBudgetAdmin(ReadOnlyAdmin):
    list_display = ("person", "consents", "day_share", "month_share", "lifetime_share", "rho_share", "formal_void_at")
    list_filter = ("consent_mask", "formal_void_at")
    list_select_related = ("person",)

    @display(description="consents to")
    def consents(self, budget: PrivacyBudget) -> str:
        return ", ".join(p.value for p in Purpose if budget.consent_mask & p.bit) or "nothing"

    @display(description="day (units)")
    def day_share(self, budget: PrivacyBudget) -> str:
        return _share(budget.spent_day, budget.cap_day)

    @display(description="month (units)")
    def month_share(self, budget: PrivacyBudget) -> str:
        return _share(budget.spent_month, budget.cap_month)

    @display(description="lifetime (units)", ordering="spent_lifetime")
    def lifetime_share(self, budget: PrivacyBudget) -> str:
        return _share(budget.spent_lifetime, budget.cap_lifetime)

    @display(description="lifetime rho (formal)", ordering="rho_spent")
    def rho_share(self, budget: PrivacyBudget) -> str:
        return _share(budget.rho_spent, budget.rho_cap, digits=4)


def _share(spent: int, cap: int, digits: int = 2) -> str:
    return f"{spent / NANO:.{digits}f} of {cap / NANO:.{digits}f}"


class ReleaseRoundInline(ReadOnlyInline):
    model = ReleaseRound
    fields = ("index", "output_sha256", "created_at")
    readonly_fields = fields


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin):
    list_display = ("id", "loop_version", "purpose", "show_state", "formal_epsilon", "formal_delta", "about_users", "created_at")
    list_filter = ("state", "purpose", "technique", "loop_version__loop")
    list_select_related = ("loop_version__loop",)
    search_fields = ("key",)
    inlines = (ReleaseRoundInline,)

    @display(description="state", ordering="state", label=STATE_LABELS)
    def show_state(self, release: Release) -> str:
        return str(release.state)

    @display(description="people (noised)", ordering="noisy_users")
    def about_users(self, release: Release) -> str:
        return "-" if release.noisy_users is None else f"about {release.noisy_users:,.0f}"


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("id", "release", "person", "units", "rho_units")
    list_filter = ("release__purpose",)
    list_select_related = ("release", "person")
    fields = ("release", "person", "units", "rho_units")

    @display(description="policy units")
    def units(self, entry: LedgerEntry) -> str:
        return f"{entry.policy_cost / NANO:.4f}"

    @display(description="rho")
    def rho_units(self, entry: LedgerEntry) -> str:
        return f"{entry.rho / NANO:.6f}"


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    list_display = ("id", "person", "purpose", "granted", "text_version", "source", "created_at")
    list_filter = ("purpose", "granted", "text_version")
    list_select_related = ("person",)


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    list_display = ("id", "loop_version", "person", "decided_at", "available")
    list_filter = ("loop_version__loop", "available")
    list_select_related = ("loop_version__loop", "person")
    date_hierarchy = "decided_at"
    fields = ("loop_version", "person", "decided_at", "available", "left")


@admin.register(Choice)
class ChoiceAdmin(ReadOnlyAdmin):
    list_display = ("id", "head", "explored", "propensity", "marginal_propensity")
    list_filter = ("head", "explored")
    fields = ("head", "explored", "propensity", "marginal_propensity")


@admin.register(RewardSignal)
class RewardSignalAdmin(ReadOnlyAdmin):
    list_display = ("id", "decision_id", "closed_at")
    date_hierarchy = "closed_at"
    fields = ("closed_at",)


@admin.register(SignalImport)
class SignalImportAdmin(ReadOnlyAdmin):
    list_display = ("id", "file_name", "loop_version", "rows", "added", "unchanged", "rejected", "created_at")
    list_filter = ("loop_version__loop",)
    list_select_related = ("loop_version__loop",)
