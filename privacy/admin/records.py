"""Admin pages of people's records. They show no raw data: no identifier, state or reward. People appear as numbers.

Serving states and token digests have no admin page.
"""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from knox.models import AuthToken

from core.admin_base import ReadOnlyAdmin, display
from core.html_format import html_facts, number_text
from privacy.admin.person_rows import PersonRowsAdmin
from privacy.models import (
    Choice,
    Consent,
    Decision,
    PersonAccount,
    RewardEvent,
    RewardSignal,
    ServedDecision,
    Signal,
    SignalImport,
)

admin.site.unregister(AuthToken)


@admin.register(Consent)
class ConsentAdmin(PersonRowsAdmin):
    list_display = ("__str__", "person", "purpose", "granted", "lifts", "text_version", "source", "created_at")
    list_filter = ("purpose", "granted", "text_version")
    list_select_related = ("person",)


@admin.register(Decision)
class DecisionAdmin(PersonRowsAdmin):
    list_display = ("__str__", "loop_version", "person", "decided_at", "available")
    list_filter = ("loop_version__loop", "available")
    list_select_related = ("loop_version__loop", "person")
    date_hierarchy = "decided_at"
    fields = ("loop_version", "person", "decided_at", "available", "dropped_out", "created_at")
    readonly_fields = fields


@admin.register(Choice)
class ChoiceAdmin(PersonRowsAdmin):
    person = "decision__person__id"
    list_display = ("__str__", "head", "explored", "show_propensity", "show_marginal")
    list_filter = ("head", "explored")
    fields = ("head", "explored", "show_propensity", "show_marginal")
    readonly_fields = fields

    @display(description="propensity", ordering="propensity")
    def show_propensity(self, choice: Choice) -> str:
        return _propensity_text(choice.propensity)

    @display(description="marginal propensity", ordering="marginal_propensity")
    def show_marginal(self, choice: Choice) -> str:
        return _propensity_text(choice.marginal_propensity)


def _propensity_text(propensity: float | None) -> str:
    return "not known: the app chose" if propensity is None else number_text(propensity)


@admin.register(RewardSignal)
class RewardSignalAdmin(PersonRowsAdmin):
    person = "decision__person__id"
    list_display = ("__str__", "closed_at", "created_at")
    date_hierarchy = "closed_at"
    fields = ("closed_at", "created_at")
    readonly_fields = fields


@admin.register(SignalImport)
class SignalImportAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "loop_version", "rows", "added", "unchanged", "rejected", "created_at")
    list_filter = ("loop_version__loop",)
    list_select_related = ("loop_version__loop",)
    search_fields = ("=file_sha256",)
    search_help_text = "SHA-256 of the file, as sha256sum prints it"
    fields = ("loop_version", "rows", "added", "unchanged", "rejected", "show_counts", "show_propensities",
              "override", "file_sha256", "created_at")  # fmt: skip
    readonly_fields = fields

    @display(description="propensities")
    def show_propensities(self, signal_import: SignalImport) -> SafeString:
        return html_facts(signal_import.propensities)

    @display(description="missing, clamped and rejected")
    def show_counts(self, signal_import: SignalImport) -> SafeString:
        return html_facts(signal_import.counts)


@admin.register(PersonAccount)
class PersonAccountAdmin(PersonRowsAdmin):
    list_display = ("__str__", "person", "user", "created_at")
    list_select_related = ("person", "user")
    fields = ("person", "user", "created_at")
    readonly_fields = fields


@admin.register(ServedDecision)
class ServedDecisionAdmin(PersonRowsAdmin):
    list_display = ("__str__", "person", "decided_at", "unavailable", "explores", "activated_at", "closed_at", "sealed")
    list_filter = (
        "unavailable",
        ("closed_at", admin.EmptyFieldListFilter),
        ("vault_batch", admin.EmptyFieldListFilter),
    )
    list_select_related = ("decision", "person")
    fields = ("decision", "person", "decided_at", "unavailable", "explores", "clamped", "expires_at", "closes_at",
              "activated_at", "closed_at", "sealed")  # fmt: skip
    readonly_fields = fields

    @display(description="decided at", ordering="decision__decided_at")
    def decided_at(self, served: ServedDecision) -> object:
        return served.decision.decided_at

    @display(description="share of decisions explored", ordering="exploration_bp")
    def explores(self, served: ServedDecision) -> str:
        return f"{served.exploration_bp / 100:g}%"

    @display(description="in the Trust Vault", ordering="vault_batch")
    def sealed(self, served: ServedDecision) -> str:
        return f"event {served.vault_batch_id}" if served.vault_batch_id else "not yet"


@admin.register(RewardEvent)
class RewardEventAdmin(PersonRowsAdmin):
    person = "served__person__id"
    list_display = ("__str__", "served", "late", "created_at")
    list_filter = ("late",)
    list_select_related = ("served",)
    date_hierarchy = "created_at"
    fields = ("served", "late", "created_at")
    readonly_fields = fields


@admin.register(Signal)
class SignalAdmin(PersonRowsAdmin):
    list_display = ("__str__", "kind", "loop_version", "person", "observed_at", "created_at")
    list_filter = ("kind", "loop_version__loop")
    list_select_related = ("loop_version__loop", "person")
    date_hierarchy = "observed_at"
    fields = ("kind", "loop_version", "person", "observed_at", "created_at")
    readonly_fields = fields
