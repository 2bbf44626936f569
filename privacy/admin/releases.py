"""Admin pages of releases. Who was charged for one has no page: it would tell who is in it."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from core.admin_base import ReadOnlyAdmin, ReadOnlyInline, display
from core.html_format import NOTHING, html_facts, number_text
from privacy.engine.dp.accounting import NANO, epsilon_text
from privacy.models import (
    Release,
    ReleaseRound,
)

RELEASE_STATE_LABELS = {"reserved": "warning", "committed": "success", "refunded": "info", "abandoned": "danger"}


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
        return NOTHING if release.formal_epsilon is None else epsilon_text(release.formal_epsilon)

    @display(description="delta", ordering="formal_delta")
    def delta(self, release: Release) -> str:
        return number_text(release.formal_delta)

    @display(description="rho per person")
    def rho_units(self, release: Release) -> str:
        return NOTHING if release.rho is None else number_text(release.rho / NANO)

    @display(description="policy units per person")
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
