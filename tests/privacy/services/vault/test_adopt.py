"""What an earlier version stored comes under the key once; what people live through afterwards breaks nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from privacy.models import Decision, Person, Release, ServedDecision, VaultBatch, VaultEvent, VaultHead
from privacy.services.people.identity import people_get_or_create
from privacy.services.people.retention import records_expire
from privacy.services.vault.adopt import default_caps_record, vault_adopt, vault_prepare
from privacy.services.vault.verify import vault_audit
from tests.factories.vault_world import VaultWorld, vault_world
from tests.tampering import owning_the_database, tamper

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path) -> VaultWorld:
    return vault_world(tmp_path)


def _as_earlier_versions_left_it() -> None:
    """No seal, and nothing recorded: only one event stays, hashed without a key in those days."""
    ServedDecision.objects.update(vault_batch=None)
    with owning_the_database():
        VaultBatch.objects.all().delete()
        VaultEvent.objects.all().delete()
        VaultHead.objects.all().delete()
    Person.objects.update(seal="")


def test_an_older_installation_is_recorded_once_and_holds_from_then_on(world: VaultWorld) -> None:
    _as_earlier_versions_left_it()
    assert vault_audit().broken != ""
    assert vault_adopt() > 1
    found = vault_audit()
    assert (found.broken, found.adopted) == ("", 1)
    assert vault_adopt() == 0, "a second time would hide a change"


def test_a_later_change_is_not_adopted(world: VaultWorld) -> None:
    tamper("UPDATE privacy_budget SET spent_lifetime = spent_lifetime - 1 WHERE spent_lifetime > 0")
    vault_prepare()
    assert "the budget of person" in vault_audit().broken


def test_an_empty_installation_has_nothing_to_adopt() -> None:
    assert vault_adopt() == 0 and default_caps_record() and not default_caps_record()
    assert vault_audit().broken == ""


def test_what_expires_is_told_from_what_is_deleted(world: VaultWorld) -> None:
    expired = records_expire(now=timezone.now() + timedelta(days=400))
    assert expired.decisions > 0 and expired.exports == 1 and not Decision.objects.exists()
    assert vault_audit().broken == "" and Release.objects.exists()


def test_somebody_erased_may_register_again(world: VaultWorld) -> None:
    people_get_or_create(population="care", identifiers=["gus"])
    assert vault_audit().broken == ""
