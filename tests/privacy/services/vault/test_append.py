"""Appending to the vault: with the act or not at all, in a form that both databases give back, for ever."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings

from core.canonical_json import canonical_json
from core.errors import InputError
from privacy.engine.dp.accounting import NANO
from privacy.engine.hash_chain import GENESIS, sum_text
from privacy.models import Person, Purpose, Release, VaultEvent, VaultHead, VaultKind
from privacy.services.budget.charge import cohort_refund
from privacy.services.people.consent import consent_grant, consent_withdraw
from privacy.services.releases.lifecycle import release_commit, release_reserve, round_store
from privacy.services.vault.append import subject_of, subjects_of, vault_append
from privacy.services.vault.commitments import text_digest
from privacy.services.vault.stored_rows import CONSENTS
from privacy.services.vault.verify import vault_verify
from tests.factories.loops import loop_version
from tests.factories.people import ALL_FOLDS, add_people
from tests.factories.vault_bodies import bodies

pytestmark = pytest.mark.django_db


def events() -> list[VaultEvent]:
    return list(VaultEvent.objects.order_by("sequence"))


class TestAppending:
    def test_each_event_holds_the_hash_of_the_one_before(self) -> None:
        made = [vault_append(kind=VaultKind.BUDGET, body={"n": n}) for n in range(3)]
        assert [e.sequence for e in events()] == [1, 2, 3]
        assert [e.previous_hash for e in events()] == [GENESIS, made[0].hash, made[1].hash]
        assert VaultHead.objects.get().hash == made[2].hash and VaultHead.objects.get().sequence == 3

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(bodies())
    def test_whatever_body_it_takes_comes_back_with_the_same_bytes(self, body: dict[str, Any]) -> None:
        made = vault_append(kind=VaultKind.BUDGET, body=body)
        assert canonical_json(VaultEvent.objects.get(pk=made.pk).body) == canonical_json(body)
        assert vault_verify(since=made.pk).broken == ""

    @pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": 2.0}, {"x": b"state"}, {"x": "y" * 8_200}, {1: 2}])
    def test_a_body_that_is_no_small_plain_json_is_refused_and_leaves_nothing(self, body: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="Trust Vault"):
            vault_append(kind=VaultKind.BUDGET, body=body)
        assert events() == [] and not VaultHead.objects.exists()

    def test_an_act_that_is_undone_leaves_no_event(self) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            vault_append(kind=VaultKind.BUDGET, body={})
            _ = 1 / 0
        vault_append(kind=VaultKind.BUDGET, body={})
        assert [e.sequence for e in events()] == [1] and vault_verify().broken == ""

    def test_nothing_is_appended_where_the_head_was_deleted(self) -> None:
        vault_append(kind=VaultKind.BUDGET, body={})
        VaultHead.objects.all().delete()
        with pytest.raises(IntegrityError), transaction.atomic():
            vault_append(kind=VaultKind.BUDGET, body={})


@pytest.mark.django_db(transaction=True)
def test_without_a_transaction_nothing_is_appended() -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        vault_append(kind=VaultKind.BUDGET, body={})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE vault_events SET body = '{}' WHERE sequence = 1",
        "UPDATE vault_batches SET decisions_count = 1",
        "DELETE FROM vault_events",
        "DELETE FROM vault_batches",
    ],
)
def test_the_database_itself_refuses_to_change_what_is_in_the_vault(statement: str) -> None:
    from privacy.services.vault.sealed_decisions import decisions_seal
    from tests.factories.decisions import serve_many

    version = loop_version()
    serve_many(version, add_people(version, 2))
    assert decisions_seal() is not None
    if connection.vendor == "sqlite" and statement.startswith("DELETE"):
        _restore_delete_triggers()
    with (
        pytest.raises(IntegrityError, match="the Trust Vault only grows"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def _restore_delete_triggers() -> None:
    """The tests' database lacks them (tables are emptied by deleting): as the migration makes them."""
    from importlib import import_module

    migration = import_module("privacy.migrations.0005_the_vault_only_grows")
    with connection.cursor() as cursor:
        for table in migration.TABLES:
            cursor.execute(f"DROP TRIGGER {table}_no_update")
    # An editor of the schema would want to begin its own transaction.
    editor = type("Editor", (), {"connection": connection, "execute": staticmethod(connection.cursor().execute)})
    migration.add(None, editor)


def test_the_database_itself_refuses_to_delete_from_the_permanent_log() -> None:
    from importlib import import_module

    version = loop_version()
    add_people(version, 1)
    release_reserve(
        key="r", loop_version=version, purpose=Purpose.TRAINING, folds=ALL_FOLDS, epsilon=0.1, delta=1e-6, mechanism="t",
        parameters={},
    )  # fmt: skip
    if connection.vendor == "sqlite":  # the tests' database lacks it
        editor = type("Editor", (), {"connection": connection, "execute": staticmethod(connection.cursor().execute)})
        import_module("privacy.migrations.0008_a_charge_in_one_statement").add(None, editor)
    with pytest.raises(IntegrityError, match="only grows"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM anonymization_logs")


class TestCommitments:
    def test_a_persons_is_always_the_same_and_nobody_elses(self) -> None:
        first, second = (Person.objects.get(pk=pk) for pk in add_people(loop_version(), 2))
        assert subject_of(first) == subject_of(Person.objects.get(pk=first.pk)) != subject_of(second)
        assert len(subject_of(first)) == 64 and subject_of(first) != first.key

    def test_under_another_salt_it_is_another(self, settings: Any) -> None:
        person = Person.objects.get(pk=add_people(loop_version(), 1)[0])
        before = subject_of(person)
        settings.ANONYMIZATION_SALT = "another salt of the tests and of nothing else"
        assert subject_of(person) != before

    def test_that_of_many_depends_on_who_they_are_and_not_on_their_order(self) -> None:
        ids = add_people(loop_version(), 3)
        assert subjects_of(ids) == subjects_of(ids[::-1]) != subjects_of(ids[:2])


class TestConsent:
    def test_one_persons_acts_are_theirs_one_by_one(self) -> None:
        (pk,) = add_people(loop_version(), 1, consent_mask=0)
        consent_grant(person_ids=[pk], purposes=list(Purpose), source="the app")
        consent_withdraw(person_ids=[pk], purposes=[Purpose.TRAINING], source="the app")
        told = [(e.kind, e.body["purpose"], e.body["granted"]) for e in events()]
        assert told == [
            ("consent", "personalization", True),
            ("consent", "training", True),
            ("consent", "evaluation", True),
            ("consent", "training", False),
        ]
        assert {e.subject for e in events()} == {subject_of(Person.objects.get(pk=pk))}

    def test_those_of_many_are_one_event_that_commits_to_who_they_were(self) -> None:
        ids = add_people(loop_version(), 31, consent_mask=0)
        consent_grant(person_ids=ids, purposes=[Purpose.TRAINING], source="import of diary.csv")
        (event,) = events()
        assert event.subject == ""
        assert event.body == {
            "purpose": "training", "granted": True, "text": text_digest("1"), "source": "import of diary.csv", "people": 30,
            "commitment": subjects_of(ids), "sums": {"consents": sum_text(CONSENTS.total())},
        }  # fmt: skip

    def test_what_changes_nothing_is_no_event(self) -> None:
        ids = add_people(loop_version(), 2)
        for _ in range(2):
            consent_grant(person_ids=ids, purposes=list(Purpose), source="again")
        assert [event.body["purpose"] for event in events()] == [purpose.value for purpose in Purpose]


class TestReleases:
    def reserved(self, key: str) -> Release:
        version = loop_version(key)
        add_people(version, 5, first=Person.objects.count())
        return release_reserve(
            key=key, loop_version=version, purpose=Purpose.TRAINING, folds=ALL_FOLDS, epsilon=0.5, delta=1e-5,
            mechanism="m", parameters={},
        )  # fmt: skip

    def test_a_committed_one_says_what_it_cost_and_what_came_out_of_it(self) -> None:
        import numpy as np

        release = self.reserved("one")
        round_store(
            release=release, index=0, arrays={"x": np.array([1.0]), "x_rho": np.array([(release.rho or 0) / NANO / 2])}
        )
        release_commit(release=release, noisy_users=4.6)
        release_commit(release=release, noisy_users=4.6)  # again: nothing
        charged, stored, event = events()
        assert (charged.body["state"], stored.body["round"]) == ("reserved", 0)
        assert set(charged.body["rows"]) == {f"release {release.pk}", f"cohort {release.pk}"}
        assert (event.kind, event.body["state"], event.body["release"]) == ("release", "committed", release.pk)
        assert event.body["rho_nano"] == release.rho and event.body["about_people"] == 5
        assert event.body["outputs"] == list(release.rounds.values_list("output_sha256", flat=True))

    def test_a_refunded_one_says_so(self) -> None:
        release = self.reserved("two")
        cohort_refund(release=release)
        _, event = events()
        assert (event.kind, event.body["state"]) == ("release", "refunded")
