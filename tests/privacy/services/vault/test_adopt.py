"""What an earlier version stored comes under the key once; what people live through afterwards breaks nothing."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django.utils import timezone

from privacy.models import Decision, Person, PrivacyBudget, Release, ServedDecision, VaultBatch, VaultEvent, VaultHead
from privacy.services.people.erasure import person_erase, tombstone
from privacy.services.people.identity import people_get_or_create
from privacy.services.people.retention import records_expire
from privacy.services.people.spellings import spelling_fold
from privacy.services.records.close_outcomes import outcomes_close
from privacy.services.records.import_file import signals_import
from privacy.services.vault import adopt, record_checks, sealed_decisions
from privacy.services.vault.adopt import (
    FIRST_COVERED,
    coverage_extend,
    vault_adopt,
    vault_prepare,
)
from privacy.services.vault.verify import vault_audit
from tests.factories.decisions import serve_many
from tests.factories.vault_world import HEADER, VaultWorld, vault_world
from tests.tampering import owning_the_database, tamper

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def world(rows_of_module: None, tmp_path_factory: pytest.TempPathFactory) -> VaultWorld:
    return vault_world(tmp_path_factory.mktemp("world"))


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


class TestAnEarlierVersionCoveredLess:
    """Its chain is keyed, but lacks the tables and columns that were covered later."""

    @pytest.fixture
    def earlier(self, world: VaultWorld) -> VaultWorld:
        """What a version of the first coverage recorded of this world: an adoption by its own definitions."""
        _as_earlier_versions_left_it()
        later = [table for table in record_checks.tables() if table.name not in FIRST_COVERED]
        first = [table.earlier or table for table in record_checks.tables() if table not in later]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(record_checks, "_TABLES", first)
            patch.setattr(adopt, "_editions_now", dict)
            assert vault_adopt() > 1
        assert "stored rows of 'outcomes'" in vault_audit().broken, "until it is prepared"
        return world

    def test_what_is_stored_is_recorded_once_and_holds_from_then_on(self, earlier: VaultWorld) -> None:
        assert coverage_extend() == len(record_checks.tables()) - 5
        assert vault_audit().broken == ""
        assert coverage_extend() == 0, "a second time would hide a change"

    @pytest.mark.parametrize(
        ("statement", "broken"),
        [
            ("UPDATE loops SET population = 'elsewhere'", "is not what the Trust Vault recorded"),
            ("UPDATE reward_signals SET has_reward = NULL", "the stored rows of 'outcomes'"),
            ("UPDATE decisions SET created_at = '2020-01-01 00:00:00+00:00'", "the stored rows of 'decisions'"),
            ("UPDATE incidents SET actor = 'somebody else'", "is not what the Trust Vault recorded"),
            ("UPDATE gate_verdicts SET reason = 'none'", "is not what"),
            ("UPDATE turns SET actor = 'somebody else'", "is not what the Trust Vault recorded"),
            ("DELETE FROM person_accounts", "the stored rows of 'accounts'"),
            ("UPDATE reward_signals SET release_id = NULL", "the stored rows of 'read'"),
        ],
    )
    def test_a_change_after_it_is_named(self, earlier: VaultWorld, statement: str, broken: str) -> None:
        coverage_extend()
        tamper(statement)
        vault_prepare()
        assert broken in vault_audit().broken

    @pytest.mark.parametrize(
        ("statement", "broken"),
        [
            ("UPDATE reward_signals SET harmful = NULL", "the stored rows of 'outcomes'"),
            ("UPDATE decision_choices SET action = 0", "the stored rows of 'decisions'"),
            ("UPDATE incidents SET reason = 'none'", "is not what the Trust Vault recorded"),
        ],
    )
    def test_a_change_before_it_that_the_earlier_version_would_name_still_is(
        self, earlier: VaultWorld, statement: str, broken: str
    ) -> None:
        tamper(statement)
        vault_prepare()
        assert broken in vault_audit().broken

    def test_what_happens_afterwards_holds(self, earlier: VaultWorld) -> None:
        coverage_extend()
        person_erase(person_id=earlier.people["ann"], source="app")
        records_expire(now=timezone.now() + timedelta(days=400))
        assert vault_audit().broken == ""


class TestABatchOfTheFirstEdition:
    @pytest.fixture
    def batch(self, world: VaultWorld) -> list[int]:
        """Decisions that an earlier version seals: with fewer facts, and an event that says no edition."""
        people = [world.people[name] for name in ("cam", "dee")]
        decisions = serve_many(world.loop, people)
        leaf = partial(sealed_decisions._leaf, is_first=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sealed_decisions, "_leaf", lambda served, cipher, is_first=False: leaf(served, cipher))
            patch.setattr(sealed_decisions, "EDITION", {})
            assert sealed_decisions.decisions_seal() is not None
        assert vault_audit().broken == ""
        return decisions

    def test_what_it_covered_is_covered(self, batch: list[int]) -> None:
        tamper("UPDATE decision_choices SET propensity = 0.9 WHERE decision_id = %s", batch[0])
        assert "is not what event" in vault_audit().broken

    def test_availability_must_have_its_reason(self, batch: list[int]) -> None:
        flag = not Decision.objects.get(pk=batch[0]).available
        tamper("UPDATE decisions SET available = %s WHERE id = %s", flag, batch[0])
        assert "contradict each other" in vault_audit().broken

    def test_its_decisions_are_erased_and_expire(self, world: VaultWorld, batch: list[int]) -> None:
        person_erase(person_id=world.people["cam"], source="app")
        outcomes_close()
        records_expire(now=timezone.now() + timedelta(days=400))
        assert vault_audit().broken == "" and not Decision.objects.exists()
