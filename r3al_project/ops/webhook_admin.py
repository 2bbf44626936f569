"""Admin page of webhooks. Each change is recorded in the Trust Vault."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from core.admin_base import RecordAdmin, action, dialog_response, display
from core.errors import InputError
from notices.engine.kinds import NOTICE_KINDS
from notices.models import MANAGE_WEBHOOKS, WebhookEndpoint
from notices.services.endpoints import endpoint_check
from notices.services.webhook_secrets import webhook_secret
from r3al_project.ops.recorded_webhooks import webhook_delete, webhook_save, webhook_secret_renew

_ADDED = (
    "The webhook is added. Copy its secret, shown below, into the receiver. Then run: manage.py notices test-webhook"
)


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]
    kinds = forms.MultipleChoiceField(
        choices=[(kind.name, kind.words) for kind in NOTICE_KINDS.values() if kind.announced],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="The only kinds that it hears. None chosen: all of them.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("name", "url", "least_level", "kinds", "enabled")

    def clean(self) -> dict[str, Any]:
        """Check the webhook as its service does."""
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                endpoint_check(WebhookEndpoint(pk=self.instance.pk, **cleaned))
            except InputError as error:
                fields = error.members.get("errors", {})
                self.add_error(next(iter(fields), None), str(error))
        return cleaned


@admin.register(WebhookEndpoint)
class WebhookAdmin(RecordAdmin):
    form = WebhookForm
    list_display = ("name", "least_level", "enabled", "last_success_at", "last_failure_at", "last_error")
    search_fields = ("name",)
    actions_detail = ("renew",)
    readonly_fields = ("show_secret", "last_success_at", "last_failure_at", "last_error")

    def get_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> tuple[str, ...]:
        """Return the fields. Only who may change a webhook sees its address and its secret, which let one write to it."""
        told = ("name", "least_level", "kinds", "enabled", "last_success_at", "last_failure_at", "last_error")
        if obj is None:
            return WebhookForm.Meta.fields
        if not self.has_change_permission(request, obj):
            return told
        return (*WebhookForm.Meta.fields, "show_secret", *told[-3:])

    @display(description="secret")
    def show_secret(self, endpoint: WebhookEndpoint) -> str:
        return webhook_secret(endpoint)

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: object, change: bool) -> None:
        """Store through the service, which records it."""
        webhook_save(obj, actor=request.user.get_username())

    def response_add(
        self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the new webhook, so that its secret can be copied."""
        messages.success(request, f"{_ADDED} {obj.name!r}")
        return HttpResponseRedirect(_page(obj.pk))

    def delete_model(self, request: HttpRequest, obj: WebhookEndpoint) -> None:
        """Remove through the service, which records it."""
        webhook_delete(obj, actor=request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        """Remove through the service, which records each."""
        for endpoint in queryset:
            self.delete_model(request, endpoint)

    def has_renew_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Return whether the user may give a webhook another secret."""
        return bool(request.user.has_perm(MANAGE_WEBHOOKS))

    @action(
        description="New secret",
        icon="key",
        permissions=["renew"],
        url_path="new-secret",
        dialog={
            "title": "Give this webhook a new secret?",
            "description": "For a day, messages are signed with the present secret too. Change the receiver within that day.",
            "form_submit_text": "Make a new secret",
        },
    )
    def renew(self, request: HttpRequest, form: object, object_id: str) -> HttpResponse:
        endpoint = WebhookEndpoint.objects.get(pk=object_id)
        webhook_secret_renew(endpoint, actor=request.user.get_username())
        return dialog_response(request, _page(endpoint.pk), message=f"{endpoint.name} has a new secret, shown below.")


def _page(pk: int) -> str:
    return reverse("admin:notices_webhookendpoint_change", args=[pk])
