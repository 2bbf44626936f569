"""What an earlier version stored comes under the key once; what people live through afterwards breaks nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from privacy.models import Decision, Person, PrivacyBudget, Release, ServedDecision, VaultBatch, VaultEvent, VaultHead
from privacy.services.people.erasure import tombstone
from privacy.services.people.identity import people_get_or_create
from privacy.services.people.retention import records_expire
from privacy.services.people.spellings import spelling_fold
from privacy.services.records.import_file import signals_import
from privacy.services.vault.adopt import default_caps_record, vault_adopt, vault_prepare
from privacy.services.vault.verify import vault_audit
from tests.factories.vault_world import HEADER, VaultWorld, vault_world
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
    people_get_or_create(population=world.loop.spec.population, identifiers=["gus"])
    assert vault_audit().broken == ""


def test_another_spelling_of_a_person_is_folded_into_them(world: VaultWorld) -> None:
    other = Person.objects.get(pk=world.people["cam"])
    last = tombstone(population=other.population, key=other.key)
    spelling_fold(other_id=other.pk, key=last, into_id=world.people["jon"])
    assert PrivacyBudget.objects.get(pk=world.people["jon"]).rho_spent > 0
    assert vault_audit().broken == ""
    tamper("UPDATE privacy_budget SET rho_spent = 0 WHERE person_id = %s", world.people["jon"])
    assert "the budget of person" in vault_audit().broken


def test_an_outcome_that_joins_its_decision_later_is_recorded(world: VaultWorld, tmp_path: Path) -> None:
    at = timezone.now() - timedelta(hours=1)
    row = f"eve,{at:%Y-%m-%dT%H:%M:%SZ},0.5,home,0.5,wait,0.5,,"
    for number, outcome in enumerate((",", "0.5,fine")):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"{HEADER}\n{row},{outcome}\n")
        report = signals_import(path=path, loop_version=world.loop, consents=[])
    assert report.added == 0 and report.rejected == 0
    assert vault_audit().broken == ""
