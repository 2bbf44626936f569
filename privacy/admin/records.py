"""Admin of the privacy floor. Nothing raw is shown: no identifier, no state, no reward; people are bare numbers.

What serving remembers of a person (``ServingState``) has no page at all, and neither have the digests of tokens.
"""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from knox.models import AuthToken

from core.admin_base import ReadOnlyAdmin, ReadOnlyInline, display
from core.html_format import NOTHING, html_facts, number_text
from privacy.admin import people  # noqa: F401  the pages of people and their budgets
from privacy.models import (
    Choice,
    Consent,
    Decision,
    LedgerEntry,
    PersonAccount,
    Release,
    ReleaseRound,
    RewardEvent,
    RewardSignal,
    ServedDecision,
    Signal,
    SignalImport,
    VaultBatch,
    VaultCheck,
    VaultEvent,
)
from privacy.models.budget import NANO

admin.site.unregister(AuthToken)
RELEASE_STATE_LABELS = {"reserved": "warning", "committed": "success", "refunded": "info"}


class ReleaseRoundInline(ReadOnlyInline):
    model = ReleaseRound
    fields = ("index", "output_sha256", "expires_at", "created_at")
    readonly_fields = fields


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "loop_version", "technique", "show_state", "units", "epsilon", "delta", "about_users",
                    "created_at")  # fmt: skip
    list_filter = ("state", "purpose", "technique", "loop_version__loop")
    list_select_related = ("loop_version__loop",)
    search_fields = ("key", "purpose", "loop_version__loop__name")
    fields = ("loop_version", "purpose", "show_state", "guarantee", "epsilon", "delta", "rho_units", "units", "technique",
              "mechanism", "unit", "neighbouring", "about_users", "data_type", "rows_in", "rows_out", "loss",
              "show_parameters", "library_version", "key",
              "created_at", "committed_at")  # fmt: skip
    readonly_fields = fields
    inlines = (ReleaseRoundInline,)

    @display(description="state", ordering="state", label=RELEASE_STATE_LABELS)
    def show_state(self, release: Release) -> str:
        return str(release.state)

    @display(description="epsilon", ordering="formal_epsilon")
    def epsilon(self, release: Release) -> str:
        return number_text(release.formal_epsilon)

    @display(description="delta", ordering="formal_delta")
    def delta(self, release: Release) -> str:
        return number_text(release.formal_delta)

    @display(description="rho, a person")
    def rho_units(self, release: Release) -> str:
        return NOTHING if release.rho is None else number_text(release.rho / NANO)

    @display(description="policy units, a person")
    def units(self, release: Release) -> str:
        return number_text(release.policy_cost / NANO)

    @display(description="people (noised)", ordering="noisy_users")
    def about_users(self, release: Release) -> str:
        return NOTHING if release.noisy_users is None else f"about {release.noisy_users:,.0f}"

    @display(description="information lost", ordering="information_loss")
    def loss(self, release: Release) -> str:
        return NOTHING if release.information_loss is None else f"{release.information_loss:.1%} of the columns' ranges"

    @display(description="parameters")
    def show_parameters(self, release: Release) -> SafeString:
        return html_facts(release.parameters)


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
        return number_text(choice.propensity)

    @display(description="marginal propensity", ordering="marginal_propensity")
    def show_marginal(self, choice: Choice) -> str:
        return number_text(choice.marginal_propensity)


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
        return html_facts(signal_import.counts)


@admin.register(PersonAccount)
class PersonAccountAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "person", "user", "created_at")
    list_select_related = ("person", "user")
    search_fields = ("=person__id",)
    search_help_text = "A person's number"
    fields = ("person", "user", "created_at")
    readonly_fields = fields


@admin.register(ServedDecision)
class ServedDecisionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "person", "decided_at", "unavailable", "explores", "activated_at", "closed_at", "sealed")
    list_filter = (
        "unavailable",
        ("closed_at", admin.EmptyFieldListFilter),
        ("vault_batch", admin.EmptyFieldListFilter),
    )
    list_select_related = ("decision", "person")
    search_fields = ("=person__id",)
    search_help_text = "A person's number"
    fields = ("decision", "person", "decided_at", "unavailable", "explores", "clamped", "expires_at", "closes_at",
              "activated_at", "closed_at", "sealed")  # fmt: skip
    readonly_fields = fields

    @display(description="decided at", ordering="decision__decided_at")
    def decided_at(self, served: ServedDecision) -> object:
        return served.decision.decided_at

    @display(description="decisions explored then", ordering="exploration_bp")
    def explores(self, served: ServedDecision) -> str:
        return f"{served.exploration_bp / 100:g}%"

    @display(description="in the vault", ordering="vault_batch")
    def sealed(self, served: ServedDecision) -> str:
        return f"event {served.vault_batch_id}" if served.vault_batch_id else "not yet"


@admin.register(RewardEvent)
class RewardEventAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "served", "late", "created_at")
    list_filter = ("late",)
    list_select_related = ("served",)
    date_hierarchy = "created_at"
    fields = ("served", "late", "created_at")
    readonly_fields = fields


@admin.register(Signal)
class SignalAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "kind", "loop_version", "person", "observed_at", "created_at")
    list_filter = ("kind", "loop_version__loop")
    list_select_related = ("loop_version__loop", "person")
    search_fields = ("=person__id",)
    search_help_text = "A person's number"
    date_hierarchy = "observed_at"
    fields = ("kind", "loop_version", "person", "observed_at", "created_at")
    readonly_fields = fields


@admin.register(VaultEvent)
class VaultEventAdmin(ReadOnlyAdmin):
    list_display = ("sequence", "show_kind", "at", "show_facts", "about")
    list_filter = ("kind",)
    search_fields = ("=sequence", "=subject", "=hash")
    search_help_text = "A number, a hash, or the commitment to a person"
    date_hierarchy = "at"
    ordering = ("-sequence",)
    fields = ("sequence", "show_kind", "at", "show_facts", "subject", "previous_hash", "hash")
    readonly_fields = fields

    @display(description="kind", ordering="kind", label="info")
    def show_kind(self, event: VaultEvent) -> str:
        return str(event.get_kind_display())

    @display(description="what happened")
    def show_facts(self, event: VaultEvent) -> SafeString:
        return html_facts(event.body)

    @display(description="about one person", boolean=True)
    def about(self, event: VaultEvent) -> bool:
        return bool(event.subject)


@admin.register(VaultBatch)
class VaultBatchAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "event", "decisions_count", "root")
    list_select_related = ("event",)
    search_fields = ("=event__sequence", "=root")
    fields = ("event", "decisions_count", "root")
    readonly_fields = fields


@admin.register(VaultCheck)
class VaultCheckAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "show_result", "sequence", "decisions_count", "erased_count")
    list_filter = (("broken", admin.EmptyFieldListFilter),)
    ordering = ("-id",)
    fields = ("created_at", "show_result", "broken", "sequence", "head", "decisions_count", "erased_count")
    readonly_fields = fields

    @display(description="the chain", label={"holds": "success", "broken": "danger"})
    def show_result(self, check: VaultCheck) -> str:
        return "broken" if check.broken else "holds"
