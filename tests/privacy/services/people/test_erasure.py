"""Erasure: the key, the rows and the login go; what was spent stays, and registering anew gives nothing back."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from core.errors import BudgetExceeded, Conflict, InputError
from loops.models import LoopVersion
from privacy.engine.dp.accounting import NANO
from privacy.models import (
    Consent,
    DataKey,
    Decision,
    ExportKey,
    LedgerEntry,
    Person,
    PersonAccount,
    PrivacyBudget,
    Purpose,
    ReleaseRound,
    ServedDecision,
    ServingState,
    Signal,
    VaultEvent,
)
from privacy.selectors.budgets import budget_summary
from privacy.services.people.consent import consent_grant
from privacy.services.people.erasure import person_erase, tombstones, tombstones_replay
from privacy.services.people.export import person_export
from privacy.services.people.identity import people_get_or_create, person_key
from privacy.services.records.signals import SignalInput, signals_add
from privacy.services.releases.lifecycle import release_reserve
from privacy.services.releases.sealed_exports import output_store
from privacy.services.vault.append import subject_of
from privacy.services.vault.sealed_decisions import decisions_seal
from privacy.services.vault.verify import vault_verify
from tests.factories.decisions import serve_many
from tests.factories.loops import POPULATION, loop_version
from tests.factories.people import ALL_FOLDS, UNIT
from tests.factories.sealed import sealed_state
from tests.races import in_threads

pytestmark = pytest.mark.django_db
NAMES = ["ada", "ben"]


@pytest.fixture
def version() -> LoopVersion:
    return loop_version()


@pytest.fixture
def ada(version: LoopVersion) -> int:
    """Ada, who has a bit of everything; Ben has the same."""
    ids = people_get_or_create(population=POPULATION, identifiers=NAMES)
    serve_many(version, list(ids.values()))
    for name, pk in ids.items():
        consent_grant(person_ids=[pk], purposes=list(Purpose), source="test")
        heard = [SignalInput("s1", "pulse", timezone.now() - timedelta(hours=1), {"mood": 0.123456789})]
        signals_add(loop_version=version, person_id=pk, signals=heard)
        PersonAccount.objects.create(user=User.objects.create_user(f"user-{name}"), person_id=pk)
    charge(version, "first", 0.75)
    return ids["ada"]


def charge(version: LoopVersion, key: str, epsilon: float) -> list[int]:
    release = release_reserve(
        key=key, loop_version=version, purpose=Purpose.TRAINING, folds=ALL_FOLDS, epsilon=epsilon, delta=1e-5,
        mechanism="test", parameters={},
    )  # fmt: skip
    return sorted(LedgerEntry.objects.filter(release=release).values_list("person_id", flat=True))


def test_nothing_of_the_person_is_left_and_all_of_the_other(version: LoopVersion, ada: int) -> None:
    gone = person_erase(person_id=ada, source="test")
    assert (gone.signals, gone.decisions, len(gone.releases)) == (1, 1, 1)
    for model in (DataKey, Signal, Decision, ServedDecision, ServingState, PersonAccount):
        assert model.objects.count() == 1, model
        assert not model.objects.filter(person_id=ada).exists()
    assert not Consent.objects.filter(person_id=ada).exists() and User.objects.count() == 1


def test_no_table_holds_the_pseudonym_any_more(version: LoopVersion, ada: int) -> None:
    key = Person.objects.get(pk=ada).key
    person_erase(person_id=ada, source="test")
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            assert not any(key in str(row) for row in cursor.fetchall()), table


def test_what_was_spent_stays_and_the_vault_holds(version: LoopVersion, ada: int) -> None:
    decisions_seal()
    subject = subject_of(Person.objects.get(pk=ada))
    before = PrivacyBudget.objects.get(pk=ada)
    person_erase(person_id=ada, source="test")
    after = PrivacyBudget.objects.get(pk=ada)
    assert (after.spent_lifetime, after.rho_spent) == (
        before.spent_lifetime,
        before.rho_spent,
    ) and after.spent_lifetime > 0
    assert after.consent_mask == 0 and LedgerEntry.objects.filter(person_id=ada).count() == 1
    found = vault_verify()
    assert found.broken == "" and found.erased == 1
    event = VaultEvent.objects.get(kind="erasure")
    assert event.subject == subject and "ada" not in re.findall(r"\w+", str(event.body))


def test_registering_anew_gives_nothing_back(version: LoopVersion, ada: int) -> None:
    person_erase(person_id=ada, source="test")
    ids = people_get_or_create(population=POPULATION, identifiers=NAMES)
    assert ids["ada"] == ada and Person.objects.get(pk=ada).erased_at is None
    budget = PrivacyBudget.objects.get(pk=ada)
    assert budget.spent_lifetime == 3 * UNIT // 4 and budget.consent_mask == 0
    consent_grant(person_ids=[ada], purposes=list(Purpose), source="test")
    serve_many(version, [ada], first=7)
    with pytest.raises(BudgetExceeded):
        charge(version, "second", 0.5)  # of 1 unit a day .75 are spent, though the data are new


def test_nothing_can_be_added_to_somebody_erased(version: LoopVersion, ada: int) -> None:
    person_erase(person_id=ada, source="test")
    with pytest.raises(Conflict, match="was erased"):
        signals_add(
            loop_version=version, person_id=ada, signals=[SignalInput("s2", "pulse", timezone.now(), {"mood": 0.1})]
        )
    with pytest.raises(Conflict, match="already erased"):
        person_erase(person_id=ada, source="test")


def test_exports_that_held_their_rows_are_emptied_and_statistics_stay(version: LoopVersion, ada: int) -> None:
    release = LedgerEntry.objects.get(person_id=ada).release
    ReleaseRound.objects.create(release=release, index=0, output=b"noise", output_sha256="")
    output_store(release=release, index=1, output=b"rows", expires_at=timezone.now())
    assert person_erase(person_id=ada, source="test").exports == 1
    assert [bytes(r.output) for r in ReleaseRound.objects.order_by("index")] == [b"noise", b""]
    assert not ExportKey.objects.exists(), "their key is destroyed, so no copy of the rows can be opened"


def test_a_restored_backup_is_erased_again_by_the_list_of_tombstones(version: LoopVersion, ada: int) -> None:
    before = Person.objects.filter(pk=ada).values("key", "erased_at").get()
    person_erase(person_id=ada, source="test")
    lines = tombstones()
    Person.objects.filter(pk=ada).update(**before)  # as the backup had it
    assert tombstones_replay([*lines, ""], source="test") == 1 and tombstones_replay(lines, source="test") == 0
    assert Person.objects.get(pk=ada).erased_at is not None


def test_an_old_list_leaves_who_registered_anew(version: LoopVersion, ada: int) -> None:
    person_erase(person_id=ada, source="test")
    lines = tombstones()
    assert people_get_or_create(population=POPULATION, identifiers=["ada"]) == {"ada": ada}
    assert tombstones_replay(lines, source="test") == 0 and Person.objects.get(pk=ada).erased_at is None


@pytest.mark.parametrize("line", ["r3al", f"r3al {'0' * 64}", f"r3al {'0' * 64} yesterday"])
def test_a_line_that_is_no_tombstone_is_named(db: None, line: str) -> None:
    with pytest.raises(InputError, match="line 2 is not a tombstone"):
        tombstones_replay(["", line], source="test")


class TestExport:
    def test_it_says_what_was_said(self, version: LoopVersion, ada: int) -> None:
        decision = Decision.objects.get(person_id=ada)
        nothing = sealed_state(ada, bytes(decision.row_key), np.full(len(version.spec.features), np.nan))
        Decision.objects.filter(pk=decision.pk).update(state=nothing)
        kept = person_export(Person.objects.get(pk=ada))
        assert kept.signals[0].values == {"mood": 0.123456789}
        assert len(kept.decisions) == 1 and len(kept.consents) == 3 and len(kept.events) > 0
        assert kept.charges[0].policy_cost / NANO == 0.75
        assert budget_summary(kept.person.budget)["policy_units"]["day"]["spent"] == 0.75

    def test_of_somebody_new_it_is_empty(self) -> None:
        (pk,) = people_get_or_create(population=POPULATION, identifiers=["eve"]).values()
        kept = person_export(Person.objects.get(pk=pk))
        assert [*kept.signals, *kept.decisions, *kept.consents, *kept.charges] == []


class TestCommand:
    def erase(self, *args: str) -> str:
        told = StringIO()
        call_command("erase_user", *args, stdout=told)
        return told.getvalue()

    def test_it_asks_first(self, ada: int) -> None:
        assert "--yes" in self.erase("ada", "--loop", "loop") and not Person.objects.filter(erased_at__isnull=False)
        assert "1 signals" in self.erase("ada", "--loop", "loop", "--yes")
        assert Person.objects.get(pk=ada).key != person_key(population=POPULATION, identifier="ada")

    def test_tombstones_go_out_and_in(self, ada: int, tmp_path: Path) -> None:
        self.erase("ada", "--loop", "loop", "--yes")
        file = tmp_path / "tombstones"
        file.write_text(self.erase("--tombstones"))
        assert "0 restored people" in self.erase("--replay", str(file))

    @pytest.mark.parametrize(
        "args", [(), ("ada", "--tombstones"), ("nobody", "--loop", "loop"), ("--replay", "/no/file")]
    )
    def test_bad_use_says_what_to_do(self, ada: int, args: tuple[str, ...]) -> None:
        with pytest.raises(CommandError):
            self.erase(*args)


@pytest.mark.production
@pytest.mark.django_db(transaction=True)
def test_two_erasures_of_one_person_at_once_do_not_wait_for_each_other() -> None:
    """PostgreSQL would end one of them as a deadlock; now one erases and the other says that it was done."""
    people = sorted(people_get_or_create(population=POPULATION, identifiers=[f"p{i}" for i in range(12)]).values())
    consent_grant(person_ids=people, purposes=tuple(Purpose), source="test")

    def erase(pk: int) -> str:
        try:
            person_erase(person_id=pk, source="test")
        except Conflict:
            return "already"
        return "erased"

    said = in_threads(erase, [pk for pk in people for _ in range(2)], threads=8)
    assert sorted(said) == ["already"] * 12 + ["erased"] * 12
