"""Admin page of deliveries. Notices have a page of their own, and the roof shows webhooks."""

from __future__ import annotations

from django.contrib import admin

from core.admin_base import ReadOnlyAdmin, display
from notices.models import Delivery

DELIVERY_LABELS = {"pending": "warning", "delivered": "success", "given up": "danger"}


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("notice", "way", "show_state", "attempts", "last_error", "next_attempt_at", "finished_at")
    list_filter = ("state", "endpoint")
    list_select_related = ("notice", "endpoint")
    search_fields = ("notice__sentence", "last_error")
    fields = (
        "notice", "way", "show_state", "attempts", "last_error", "created_at", "next_attempt_at", "finished_at",
    )  # fmt: skip
    readonly_fields = fields

    @display(description="to", ordering="endpoint")
    def way(self, delivery: Delivery) -> str:
        return str(delivery.endpoint or "e-mail")

    @display(description="state", ordering="state", label=DELIVERY_LABELS)
    def show_state(self, delivery: Delivery) -> str:
        return str(delivery.get_state_display())
