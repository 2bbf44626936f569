"""The privacy page: rounded counts, what is kept and when it goes, and the state of vault and keys; for who may see budgets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from core.durations import RECORDS_KEPT
from privacy.models import VaultEvent
from privacy.selectors.retention import retention
from privacy.services.people.data_keys import ciphers
from privacy.services.vault.verify import vault_check
from r3al_project.pages.privacy import retention_rules
from tests.factories.every_table import furnish, raw_forms
from tests.factories.users import browser
from tests.tampering import tamper
from training.models import TrainingDataPool

pytestmark = pytest.mark.django_db
PAGE = "/admin/privacy-page/"


@pytest.fixture(autouse=True)
def roles(db: None) -> None:
    call_command("roles")


def text(client: Client) -> str:
    return " ".join(client.get(PAGE).content.decode().split())


def test_only_who_may_see_budgets_sees_it() -> None:
    assert Client().get(PAGE)["Location"].startswith("/admin/login/")
    assert browser("Service").get(PAGE).status_code in (302, 403)
    assert browser("Privacy officer").get(PAGE).status_code == 200


def test_an_empty_house_says_so() -> None:
    said = text(browser("Privacy officer"))
    assert "Nothing has been released yet" in said and "Not verified yet" in said


def test_it_tells_counts_releases_and_the_vault_and_nothing_raw() -> None:
    furnish()
    said = text(browser("Privacy officer"))
    assert "About 0 people" in said or "About 10 people" in said
    assert "(1, 1e-5)-differential privacy" in said and "✓ Verified up to event" in said
    assert not [name for name, form in raw_forms().items() if form in said]


def test_what_is_kept_says_when_the_oldest_goes() -> None:
    for name in ("first", "second", "third", "fourth", "fifth", "sixth"):
        furnish(name)
    (signals,) = (rule for rule in retention() if rule.records == "signals")
    assert signals.stored_for == RECORDS_KEPT and signals.oldest_expires is not None
    assert timedelta(days=89) < signals.oldest_expires - timezone.now() <= RECORDS_KEPT
    assert f"{signals.oldest_expires:%Y-%m-%d}" in text(browser("Privacy officer"))


def test_a_rule_without_a_number_of_rows_has_no_date() -> None:
    furnish()
    rules = {rule.records: rule for rule in retention_rules()}
    assert all(rule.rows for rule in rules.values() if rule.oldest_expires is not None)
    pool = rules["pool chunks (released and synthetic rows)"]
    assert pool.rows == TrainingDataPool.objects.count() > 0, "chunks are of nobody, so they are counted"


def test_a_broken_vault_and_keys_that_wait_stand_out(settings: Any) -> None:
    furnish()
    tamper("UPDATE vault_events SET hash = %s WHERE sequence = 1", "0" * 64)
    vault_check()
    ciphers([])
    settings.DATA_MASTER_KEYS = {**settings.DATA_MASTER_KEYS, 2: "another master key of the tests and of nothing else"}
    said = text(browser("Privacy officer"))
    assert VaultEvent.objects.exists() and "✕ Broken: event 1" in said and "manage.py rotate_keys" in said
