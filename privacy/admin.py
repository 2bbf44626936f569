"""Admin of the privacy floor. Nothing raw is shown: no identifier, no state, no reward; people are bare numbers."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

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
from privacy.models.person import FOLDS
from r3al_project.common.admin import ReadOnlyAdmin, ReadOnlyInline, display
from r3al_project.common.readable import NOTHING, meter, number, readable

STATE_LABELS = {"reserved": "warning", "committed": "success", "refunded": "info"}


@admin.register(Person)
class PersonAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "population", "judges", "created_at")
    list_filter = ("population",)
    search_fields = ("=pk",)
    search_help_text = "A person's number"
    fields = ("population", "judges", "created_at")
    readonly_fields = fields

    @display(description="place in the cohort")
    def judges(self, person: Person) -> str:
        return f"fold {person.fold:,} of {FOLDS:,}"


@admin.register(PrivacyBudget)
class PrivacyBudgetAdmin(ReadOnlyAdmin):
    list_display = ("person", "consents", "day_share", "month_share", "lifetime_share", "rho_share")
    list_filter = ("consent_mask", ("formal_void_at", admin.EmptyFieldListFilter))
    list_select_related = ("person",)
    search_fields = ("=person__id",)
    search_help_text = "A person's number"
    fields = ("person", "consents", "day_share", "week_share", "month_share", "lifetime_share", "rho_share",
              "formal_void_at", "last_release")  # fmt: skip
    readonly_fields = fields

    @display(description="consents to")
    def consents(self, budget: PrivacyBudget) -> str:
        return ", ".join(p.value for p in Purpose if budget.consent_mask & p.bit) or "nothing"

    @display(description="this day (units)", ordering="spent_day")
    def day_share(self, budget: PrivacyBudget) -> SafeString:
        return _share(budget.spent_day, budget.cap_day)

    @display(description="this week (units)", ordering="spent_week")
    def week_share(self, budget: PrivacyBudget) -> SafeString:
        return _share(budget.spent_week, budget.cap_week)

    @display(description="this month (units)", ordering="spent_month")
    def month_share(self, budget: PrivacyBudget) -> SafeString:
        return _share(budget.spent_month, budget.cap_month)

    @display(description="lifetime (units)", ordering="spent_lifetime")
    def lifetime_share(self, budget: PrivacyBudget) -> SafeString:
        return _share(budget.spent_lifetime, budget.cap_lifetime)

    @display(description="lifetime rho (formal)", ordering="rho_spent")
    def rho_share(self, budget: PrivacyBudget) -> SafeString:
        return _share(budget.rho_spent, budget.rho_cap)


def _share(spent: int, cap: int) -> SafeString:
    return meter(spent / cap if cap else 1.0, f"{number(spent / NANO)} of {number(cap / NANO)}")


class ReleaseRoundInline(ReadOnlyInline):
    model = ReleaseRound
    fields = ("index", "output_sha256", "created_at")
    readonly_fields = fields


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "loop_version", "show_state", "epsilon", "delta", "about_users", "created_at")
    list_filter = ("state", "purpose", "technique", "loop_version__loop")
    list_select_related = ("loop_version__loop",)
    search_fields = ("key", "purpose", "loop_version__loop__name")
    fields = ("loop_version", "purpose", "show_state", "guarantee", "epsilon", "delta", "rho_units", "units", "technique",
              "mechanism", "unit", "neighbouring", "about_users", "show_parameters", "library_version", "key",
              "created_at", "committed_at")  # fmt: skip
    readonly_fields = fields
    inlines = (ReleaseRoundInline,)

    @display(description="state", ordering="state", label=STATE_LABELS)
    def show_state(self, release: Release) -> str:
        return str(release.state)

    @display(description="epsilon", ordering="formal_epsilon")
    def epsilon(self, release: Release) -> str:
        return number(release.formal_epsilon)

    @display(description="delta", ordering="formal_delta")
    def delta(self, release: Release) -> str:
        return number(release.formal_delta)

    @display(description="rho, a person")
    def rho_units(self, release: Release) -> str:
        return NOTHING if release.rho is None else number(release.rho / NANO)

    @display(description="policy units, a person")
    def units(self, release: Release) -> str:
        return number(release.policy_cost / NANO)

    @display(description="people (noised)", ordering="noisy_users")
    def about_users(self, release: Release) -> str:
        return NOTHING if release.noisy_users is None else f"about {release.noisy_users:,.0f}"

    @display(description="parameters")
    def show_parameters(self, release: Release) -> SafeString:
        return readable(release.parameters)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("id", "release", "person", "units", "rho_units")
    list_filter = ("release__purpose",)
    list_select_related = ("release", "person")
    search_fields = ("=person__id",)
    search_help_text = "A person's number"
    fields = ("release", "person", "units", "rho_units")
    readonly_fields = fields

    @display(description="policy units")
    def units(self, entry: LedgerEntry) -> str:
        return f"{entry.policy_cost / NANO:.4f}"

    @display(description="rho")
    def rho_units(self, entry: LedgerEntry) -> str:
        return f"{entry.rho / NANO:.6f}"


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "person", "purpose", "granted", "text_version", "source", "created_at")
    list_filter = ("purpose", "granted", "text_version")
    list_select_related = ("person",)
    search_fields = ("=person__id",)
    search_help_text = "A person's number"


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "loop_version", "person", "decided_at", "available")
    list_filter = ("loop_version__loop", "available")
    list_select_related = ("loop_version__loop", "person")
    search_fields = ("=person__id",)
    search_help_text = "A person's number"
    date_hierarchy = "decided_at"
    fields = ("loop_version", "person", "decided_at", "available", "left", "created_at")
    readonly_fields = fields


@admin.register(Choice)
class ChoiceAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "head", "explored", "show_propensity", "show_marginal")
    list_filter = ("head", "explored")
    fields = ("head", "explored", "show_propensity", "show_marginal")
    readonly_fields = fields

    @display(description="propensity", ordering="propensity")
    def show_propensity(self, choice: Choice) -> str:
        return number(choice.propensity)

    @display(description="marginal propensity", ordering="marginal_propensity")
    def show_marginal(self, choice: Choice) -> str:
        return number(choice.marginal_propensity)


@admin.register(RewardSignal)
class RewardSignalAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "closed_at", "created_at")
    date_hierarchy = "closed_at"
    fields = ("closed_at", "created_at")
    readonly_fields = fields


@admin.register(SignalImport)
class SignalImportAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "loop_version", "rows", "added", "unchanged", "rejected", "created_at")
    list_filter = ("loop_version__loop",)
    list_select_related = ("loop_version__loop",)
    search_fields = ("file_name",)
    fields = ("loop_version", "file_name", "rows", "added", "unchanged", "rejected", "show_counts", "file_sha256",
              "created_at")  # fmt: skip
    readonly_fields = fields

    @display(description="missing, clamped and rejected")
    def show_counts(self, signal_import: SignalImport) -> SafeString:
        return readable(signal_import.counts)
