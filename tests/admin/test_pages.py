"""Every registered list and every page of a record: who may see it, what it never shows, what nobody may change by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from knox.models import AuthToken
from unfold.admin import ModelAdmin

from core.admin_base import ReadOnlyAdmin
from jobs.models import Job
from loops.models import LoopVersion
from privacy.admin.person_rows import PersonRowsAdmin
from r3al_project.permissions import VIEW_VERSIONS
from tests.factories.every_table import furnish, raw_forms
from tests.factories.users import staff

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
READ_ONLY = [model for model in MODELS if isinstance(admin.site._registry[model], ReadOnlyAdmin)]
HAND_MADE = {"auth.User", "auth.Group"} | {
    f"django_celery_beat.{name}Schedule" for name in ("Interval", "Crontab", "Solar", "Clocked")
} | {"django_celery_beat.PeriodicTask", "notices.WebhookEndpoint"}  # fmt: skip
# What serving remembers of a person, keys, answers kept for a retry, who is in which release, and the vault's head, one number.
WITHOUT_A_PAGE = {
    "privacy.ServingState",
    "privacy.DataKey",
    "privacy.DeviceToken",
    "privacy.ExportKey",
    "privacy.LedgerEntry",
    "jobs.IdempotentAnswer",
    "jobs.PeriodicRun",
    "privacy.VaultHead",
    "privacy.RefusalPermit",
    "privacy.MasterKeyVersion",
    "notices.Notice",  # has a page outside the lists
    "notices.NoticeSeen",
}
QUERIES = 40


def list_url(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def page_url(row: Model, page: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk])


def _nobody() -> HttpRequest:
    return HttpRequest()


def row_of(model: type[Model]) -> Model:
    row: Model | None = admin.site._registry[model].get_queryset(_nobody()).order_by("-pk").first()
    assert row is not None, f"the house has no {model._meta.label}"
    return row


def every_page() -> Iterator[str]:
    yield reverse("admin:index")
    yield reverse("front-page-fragment")
    for model in MODELS:
        yield list_url(model)
        for row in admin.site._registry[model].get_queryset(_nobody()):
            yield page_url(row)


def test_every_model_of_the_platform_is_registered() -> None:
    from django.apps import apps

    ours = {
        m
        for a in ("loops", "privacy", "training", "deployments", "turns", "jobs", "notices")
        for m in apps.get_app_config(a).get_models()
    }
    inside_another_page = {"privacy.ReleaseRound"}
    assert {m._meta.label for m in ours} - {m._meta.label for m in MODELS} == inside_another_page | WITHOUT_A_PAGE


def test_every_page_is_in_unfolds_style() -> None:
    assert not [m._meta.label for m in MODELS if not isinstance(admin.site._registry[m], ModelAdmin)]


def statuses(client: Client) -> dict[int, set[str]]:
    """What asking for every list and a record of each answers: status -> addresses."""
    found: dict[int, set[str]] = {}
    for model in MODELS:
        for url in (list_url(model), page_url(row_of(model))):
            found.setdefault(client.get(url).status_code, set()).add(url)
    return found


def test_operators_see_every_list_and_record(operator: Client, house: LoopVersion) -> None:
    assert statuses(operator).keys() == {200}


def test_anonymous_people_are_sent_to_the_login(operator: Client, client: Client, house: LoopVersion) -> None:
    found = statuses(client)
    assert found.keys() == {302}
    assert all("/admin/login/" in client.get(url)["Location"] for url in found[302])


@pytest.mark.alone("embedded")
def test_staff_without_permissions_sees_no_record(house: LoopVersion) -> None:
    assert statuses(staff()).keys() == {403}


@pytest.mark.parametrize("words", ["small", "1", "'\"<b>%"])
def test_searching_finds_or_finds_nothing(words: str, operator: Client, house: LoopVersion) -> None:
    searched = [m for m in MODELS if admin.site._registry[m].search_fields]
    assert len(searched) > 8
    assert not [m._meta.label for m in searched if operator.get(list_url(m), {"q": words}).status_code != 200]


@pytest.mark.alone("embedded")
def test_nothing_raw_is_on_any_page(operator: Client, house: LoopVersion) -> None:
    forms = raw_forms()
    forms |= {
        f"{name} of a token": value
        for row in AuthToken.objects.values("digest", "token_key")
        for name, value in row.items()
    }
    for url in every_page():
        text = operator.get(url).content.decode()
        assert not [name for name, form in forms.items() if form in text], url


def test_what_was_planted_would_be_found(house: LoopVersion) -> None:
    """The search above can fail: the raw forms are those of what lies in the tables."""
    from privacy.models import Decision

    forms = raw_forms()
    assert bytes(Decision.objects.get(pk=row_of(Decision).pk).state).hex() == forms["state in hex"]
    assert Job.objects.get(state="running").lease_token == forms["token"]


def test_only_accounts_and_schedules_are_made_by_hand() -> None:
    assert {m._meta.label for m in MODELS} - {m._meta.label for m in READ_ONLY} == HAND_MADE


@pytest.mark.alone("embedded")
def test_records_refuse_to_be_changed_by_hand(operator: Client, house: LoopVersion) -> None:
    for model in READ_ONLY:
        row = row_of(model)
        before = list(model._default_manager.order_by("pk").values())
        assert operator.post(page_url(row), {"state": "done"}).status_code == 403, model
        assert operator.post(page_url(row, "delete"), {"post": "yes"}).status_code == 403, model
        assert operator.post(f"{list_url(model)}add/", {}).status_code == 403, model
        operator.post(list_url(model), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
        assert list(model._default_manager.order_by("pk").values()) == before, model


@pytest.mark.alone("embedded")
def test_queries_of_a_list_do_not_grow_with_its_rows(operator: Client, house: LoopVersion) -> None:
    furnish("second")
    few = {model: _queries(operator, list_url(model)) for model in MODELS}
    for name in ("third", "fourth", "fifth"):
        furnish(name)
    many = {model: _queries(operator, list_url(model)) for model in MODELS}
    assert {m._meta.label: (few[m], many[m]) for m in MODELS if many[m] > min(few[m], QUERIES)} == {}


def _queries(client: Client, url: str) -> int:
    client.get(url)  # what is cached by process is cached now
    with CaptureQueriesContext(
        connection,
    ) as seen:
        assert client.get(url).status_code == 200
    return len(seen)


def test_the_sidebar_shows_only_what_one_may_see(house: LoopVersion) -> None:
    text = staff("turns.view_turn", VIEW_VERSIONS).get(reverse("admin:index")).content.decode()
    assert f'href="{list_url(row_of(_model("turns.Turn")).__class__)}"' in text
    assert f'href="{list_url(_model("privacy.Person"))}"' not in text


def _model(label: str) -> type[Model]:
    return next(m for m in MODELS if m._meta.label == label)


def test_an_empty_list_offers_only_what_can_be_done(operator: Client) -> None:
    def said(url: str) -> str:
        return " ".join(operator.get(url).content.decode().split())

    record, made = list_url(_model("turns.Turn")), list_url(_model("auth.Group"))
    assert "The platform adds these records itself" in said(record) and "Create a new item" not in said(record)
    assert "Nothing matches" in said(f"{record}?q=zzz") and "Show all" in said(f"{record}?q=zzz")
    assert "Add group" in said(made)


def test_a_list_of_peoples_rows_says_that_they_are_not_listed_and_how_one_is_found(
    operator: Client, house: LoopVersion
) -> None:
    of_people = [m for m in MODELS if isinstance(admin.site._registry[m], PersonRowsAdmin)]
    assert len(of_people) > 5
    for model in of_people:
        text = operator.get(list_url(model)).content.decode()
        assert "Rows of people are not listed" in text and "Nothing here yet" not in text, model
        assert "Search for a person" in text and "Find a person" in text, model


def test_that_a_fact_does_not_hold_is_no_alarm(operator: Client, house: LoopVersion) -> None:
    for label in ("deployments.HealthCheck", "deployments.Incident", "privacy.VaultEvent"):
        text = operator.get(list_url(_model(label))).content.decode()
        assert "r3-no" in text or "r3-yes" in text, label
        assert "close_small" not in text, label


def test_a_long_reason_is_shown_by_its_beginning(operator: Client, house: LoopVersion) -> None:
    from deployments.models import Incident

    Incident.objects.update(reason="people frown " * 40)
    text = operator.get(list_url(Incident)).content.decode()
    assert '<details class="r3-more">' in text and text.count("people frown " * 40) == 1
