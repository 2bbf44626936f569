"""Served decisions enter the vault in batches, each once, under leaves that say nothing to outsiders."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.db.models import Model
from django.utils import timezone

from loops.models import LoopVersion
from privacy.engine.hash_chain import merkle_root
from privacy.models import Choice, Decision, Person, ServedDecision, VaultBatch
from privacy.services.vault.commitments import decision_public_id
from privacy.services.vault.sealed_decisions import batch_rows, decision_leaves, decisions_seal
from privacy.services.vault.verify import vault_verify
from tests.factories.decisions import NOW, serve_many
from tests.factories.loops import loop_version
from tests.factories.people import add_people
from tests.factories.sealed import sealed_state

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> LoopVersion:
    return loop_version()


def leaf(pk: int) -> bytes:
    return decision_leaves(batch_rows([pk]))[pk]


class TestSealing:
    def test_there_is_nothing_to_seal_at_first(self) -> None:
        assert decisions_seal() is None

    def test_every_decision_is_in_one_batch_and_none_in_two(self, version: LoopVersion) -> None:
        ids = serve_many(version, add_people(version, 13))
        sealed = [decisions_seal(limit=5) for _ in range(4)]
        assert sealed[3] is None
        assert [e.body["decisions"] for e in sealed if e] == [5, 5, 3]
        batches = list(ServedDecision.objects.order_by("pk").values_list("vault_batch_id", flat=True))
        assert batches == [1] * 5 + [2] * 5 + [3] * 3 and len(ids) == 13
        assert (vault_verify().events, vault_verify().decisions, vault_verify().broken) == (3, 13, "")

    def test_the_event_holds_the_root_of_the_leaves_in_the_order_of_the_decisions(self, version: LoopVersion) -> None:
        ids = serve_many(version, add_people(version, 4))
        event = decisions_seal()
        batch = VaultBatch.objects.get()
        leaves = [leaf(pk) for pk in ids]
        assert event is not None and event.kind == "decisions"
        assert bytes(batch.leaves) == b"".join(leaves)
        assert event.body == {"decisions": 4, "root": merkle_root(leaves).hex(), "leaf": 2}

    def test_imported_decisions_are_not_served_and_stay_outside(self, version: LoopVersion) -> None:
        add_people(version, 3, decided=True)
        assert decisions_seal() is None

    def test_a_full_batch_of_the_default_size_is_taken(self, version: LoopVersion) -> None:
        (person,) = add_people(version, 1)
        (first,) = serve_many(version, [person])
        _copies(first, 5_001)
        assert [e.body["decisions"] for e in (decisions_seal(), decisions_seal()) if e] == [5_000, 2]
        assert vault_verify().decisions == 5_002

    def test_erasing_a_person_leaves_the_chain_whole(self, version: LoopVersion) -> None:
        people = add_people(version, 6)
        serve_many(version, people)
        decisions_seal()
        Person.objects.filter(pk__in=people[:2]).delete()
        found = vault_verify()
        assert (found.decisions, found.erased, found.broken) == (4, 2, "")


def _copies(decision_id: int, count: int) -> None:
    """More served decisions of the same person, without choices."""
    one = ServedDecision.objects.select_related("decision").get(pk=decision_id)
    made = Decision.objects.bulk_create(
        [
            Decision(person_id=one.person_id, loop_version=one.decision.loop_version, row_key=n.to_bytes(16, "big"),
                     decided_at=NOW, local_day=NOW.date(), available=False,
                     state=sealed_state(one.person_id, n.to_bytes(16, "big"), [0.5]))
            for n in range(count)
        ]
    )  # fmt: skip
    ServedDecision.objects.bulk_create(
        [
            ServedDecision(decision=d, person_id=one.person_id, request_key=bytes(d.row_key), seed=bytes(d.row_key),
                           public_id=decision_public_id(bytes(d.row_key)), expires_at=NOW, closes_at=NOW, unavailable="no_data")
            for d in made
        ]
    )  # fmt: skip


FACTS: list[tuple[type[Model], str, Any]] = [
    (ServedDecision, "public_id", "00000000-0000-0000-0000-000000000001"),
    (ServedDecision, "seed", b"another seed"),
    (ServedDecision, "exploration_bp", 999),
    (ServedDecision, "unavailable", "distress"),
    (Decision, "decided_at", NOW.replace(microsecond=7)),
    (Decision, "state", b"another state"),
    (Choice, "action", 2),
    (Choice, "propensity", 0.25),
    (Choice, "marginal_propensity", 0.13333333333333336),
    (Choice, "explored", False),
    (Choice, "learnable", False),
    (Choice, "version", 8),
    (Choice, "generation", 3),
    (Choice, "eligible", 3),
    (Choice, "head", "empathy"),
    (Decision, "available", False),
    (Decision, "dropped_out", True),
    (Decision, "local_day", date(2020, 1, 1)),
    (Decision, "created_at", NOW),
    (Decision, "row_key", b"another row key."),
    (ServedDecision, "request_key", b"another request."),
    (ServedDecision, "clamped", 3),
    (ServedDecision, "expires_at", NOW.replace(year=2020)),
    (ServedDecision, "closes_at", NOW.replace(year=2020)),
]
LATER: list[tuple[str, Any]] = [("activated_at", NOW), ("closed_at", NOW)]


class TestLeaf:
    @pytest.mark.parametrize(("model", "name", "value"), FACTS, ids=lambda x: x if isinstance(x, str) else None)
    def test_what_was_decided_is_in_it(self, version: LoopVersion, model: type[Model], name: str, value: Any) -> None:
        (pk,) = serve_many(version, add_people(version, 1))
        before = leaf(pk)
        rows = model._default_manager.filter(pk=pk)
        if model is Choice:
            rows = Choice.objects.filter(decision=pk, head="policy")
        assert rows.update(**{name: value}) == 1
        assert leaf(pk) != before

    def test_whose_it_is_and_under_which_loop_is_in_it(self, version: LoopVersion) -> None:
        first, second = add_people(version, 2)
        (pk,) = serve_many(version, [first])
        before = leaf(pk)
        Decision.objects.filter(pk=pk).update(person=second)
        assert leaf(pk) != before
        Decision.objects.filter(pk=pk).update(person=first, loop_version=loop_version(version=2))
        assert leaf(pk) != before

    def test_what_comes_later_is_not(self, version: LoopVersion) -> None:
        (pk,) = serve_many(version, add_people(version, 1))
        before = leaf(pk)
        for name, value in LATER:
            ServedDecision.objects.filter(pk=pk).update(**{name: value})
        assert leaf(pk) == before and timezone.now() > NOW

    def test_without_the_key_it_cannot_be_recomputed(self, version: LoopVersion, settings: Any) -> None:
        (pk,) = serve_many(version, add_people(version, 1))
        before = leaf(pk)
        settings.ANONYMIZATION_SALT = "another salt of the tests and of nothing else"
        assert leaf(pk) != before and len(before) == 32
