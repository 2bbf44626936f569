"""Operators add, change and remove webhooks by the admin; the Trust Vault records each act, and not the address itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from notices.models import MANAGE_WEBHOOKS, WebhookEndpoint
from notices.services.webhook_secrets import webhook_secret
from privacy.models import VaultEvent
from privacy.services.vault.adopt import vault_prepare
from privacy.services.vault.verify import vault_audit
from tests.factories.users import staff

pytestmark = pytest.mark.django_db
LIST, ADD = "/admin/notices/webhookendpoint/", "/admin/notices/webhookendpoint/add/"
CONFIRMED = {"_form_submitted": "on"}
GOOD = {"name": "chat", "url": "https://chat.example.org/secret-path", "least_level": "warning", "enabled": "on"}


@pytest.fixture(autouse=True)
def vault(db: None) -> None:
    vault_prepare()


def page(endpoint: WebhookEndpoint) -> str:
    return f"{LIST}{endpoint.pk}/change/"


def events() -> list[dict[str, Any]]:
    return [event.body for event in VaultEvent.objects.filter(kind="webhook").order_by("pk")]


def added(client: Client, **changed: Any) -> WebhookEndpoint:
    response = client.post(ADD, GOOD | changed)
    assert response.status_code == 302, re.findall(r"the address.*|there is a.*", response.content.decode())
    return WebhookEndpoint.objects.latest("pk")


def test_a_new_webhook_is_recorded_and_its_secret_is_shown_to_be_copied(operator: Client) -> None:
    endpoint = added(operator, kinds=["incident", "vault_broken"])
    assert (endpoint.name, endpoint.least_level, endpoint.kinds) == ("chat", "warning", ["incident", "vault_broken"])
    assert webhook_secret(endpoint) in operator.get(page(endpoint)).content.decode()
    (event,) = events()
    assert (event["state"], event["actor"], event["webhook"]) == ("added", "operator", endpoint.pk)
    assert "secret-path" not in str(event) and vault_audit().broken == ""


def test_changes_a_new_secret_and_a_removal_are_recorded(operator: Client) -> None:
    endpoint = added(operator)
    first = webhook_secret(endpoint)
    operator.post(page(endpoint), {**GOOD, "least_level": "urgent", "enabled": ""})
    operator.post(reverse("admin:notices_webhookendpoint_renew", args=[endpoint.pk]), CONFIRMED)
    endpoint.refresh_from_db()
    assert (endpoint.least_level, endpoint.enabled, endpoint.secret_number) == ("urgent", False, 2)
    assert webhook_secret(endpoint) != first and vault_audit().broken == ""
    operator.post(f"{LIST}{endpoint.pk}/delete/", {"post": "yes"})
    assert not WebhookEndpoint.objects.exists() and vault_audit().broken == ""
    assert [event["state"] for event in events()] == ["added", "changed", "new secret", "removed"]
    assert LogEntry.objects.exists()


def test_removing_several_at_once_records_each(operator: Client) -> None:
    keys = [added(operator, name=name).pk for name in ("one", "two")]
    operator.post(LIST, {"action": "delete_selected", "_selected_action": keys, "post": "yes"})
    assert not WebhookEndpoint.objects.exists() and vault_audit().broken == ""
    assert [event["state"] for event in events()] == ["added", "added", "removed", "removed"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"url": "http://chat.example.org/"}, "must begin with https://"),
        ({"url": "https://10.0.0.1/"}, "may not reach"),
        ({"url": "https://ann:pw@chat.example.org/"}, "no user name"),
        ({"url": ""}, "required"),
        ({"name": ""}, "required"),
        ({"least_level": "loud"}, "Select a valid choice"),
        ({"kinds": ["gossip"]}, "Select a valid choice"),
    ],
)
def test_a_wrong_webhook_is_refused_at_its_field(operator: Client, changed: dict[str, Any], words: str) -> None:
    response = operator.post(ADD, GOOD | changed)
    assert response.status_code == 200 and words in response.content.decode().replace("&#x27;", "'")
    assert not WebhookEndpoint.objects.exists() and not events()


def test_a_second_webhook_of_a_name_is_refused(operator: Client) -> None:
    added(operator)
    assert "already" in operator.post(ADD, GOOD).content.decode() and WebhookEndpoint.objects.count() == 1


def test_who_may_only_view_sees_neither_address_nor_secret_and_changes_nothing(operator: Client) -> None:
    endpoint = added(operator)
    viewer = staff("notices.view_webhookendpoint")
    text = viewer.get(page(endpoint)).content.decode()
    assert "chat" in text and "secret-path" not in text and "whsec_" not in text
    assert viewer.post(page(endpoint), GOOD).status_code == 403
    assert viewer.post(reverse("admin:notices_webhookendpoint_renew", args=[endpoint.pk]), CONFIRMED).status_code == 403
    assert staff(MANAGE_WEBHOOKS, name="manager").post(ADD, GOOD).status_code == 403
    assert len(events()) == 1
