"""Somebody who owns the database changes what lies in the vault: each change is named, the first one first."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from core.errors import InputError
from privacy.engine.hash_chain import GENESIS, event_hash, merkle_root
from privacy.models import Choice, Decision, ServedDecision, VaultBatch, VaultCheck, VaultEvent, VaultHead, VaultKind
from privacy.selectors.vault import vault_status
from privacy.services.people.identity import people_get_or_create
from privacy.services.vault import verify as module
from privacy.services.vault.adopt import default_caps_record, vault_adopt
from privacy.services.vault.append import time_text, vault_append
from privacy.services.vault.sealed_decisions import decisions_seal
from privacy.services.vault.stored_rows import LOOP_VERSIONS, LOOPS
from privacy.services.vault.verify import vault_audit, vault_check, vault_verify
from tests.factories.decisions import serve_many
from tests.factories.loops import POPULATION, loop_version
from tests.factories.people import add_people
from tests.tampering import as_json, tamper

pytestmark = pytest.mark.django_db
SEALED = 3  # the event of the batch


@pytest.fixture
def vault() -> list[int]:
    """Five events, the third a batch of six decisions; the decisions' ids."""
    version = loop_version()
    people = people_get_or_create(population=POPULATION, identifiers=[f"p{n}" for n in range(6)])
    ids = serve_many(version, list(people.values()))
    loops = LOOPS.entries() | LOOP_VERSIONS.entries()
    for n, rows in ((1, loops), (2, {})):
        vault_append(kind=VaultKind.BUDGET, body={"n": n, "share": 0.5}, rows=rows)
    decisions_seal()
    for n in (4, 5):
        vault_append(kind=VaultKind.CONSENT, body={"n": n}, subject="ab" * 32)
    assert vault_verify().broken == ""
    return ids


class TestTheChain:
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("body", as_json({"n": 2, "share": 0.25})),
            ("body", as_json([])),
            ("body", as_json(None)),
            ("body", as_json({"n": 2, "share": 0.5, "more": 1.0})),
            ("kind", "erasure"),
            ("subject", "cd" * 32),
            ("at", "2020-01-01 00:00:00+00:00"),
        ],
    )
    def test_an_edited_event(self, vault: list[int], column: str, value: str) -> None:
        cast = "::jsonb" if connection.vendor == "postgresql" and column == "body" else ""
        tamper(f"UPDATE vault_events SET {column} = %s{cast} WHERE sequence = 2", value)
        assert vault_verify().broken.startswith("event 2 was changed: ")
        assert (vault_verify().events, vault_verify().sequence) == (1, 1)

    def test_an_event_with_its_hash_made_to_fit(self, vault: list[int]) -> None:
        event = VaultEvent.objects.get(pk=2)
        fitting = event_hash(
            sequence=2, kind=event.kind, at=time_text(event.at), subject="", body={"n": 7},
            previous=event.previous_hash,
        )  # fmt: skip
        cast = "::jsonb" if connection.vendor == "postgresql" else ""
        tamper(f"UPDATE vault_events SET body = %s{cast}, hash = %s WHERE sequence = 2", as_json({"n": 7}), fitting)
        assert vault_verify().broken == "event 2 was changed: its hash is another", "without the key no hash fits"

    def test_the_last_event_deleted(self, vault: list[int]) -> None:
        tamper("DELETE FROM vault_events WHERE sequence = 5")
        assert vault_verify().broken == "event 5 is missing; the head says there are 5"

    @pytest.mark.parametrize("sequence", [1, 2, 4])
    def test_an_event_deleted_before_the_end(self, vault: list[int], sequence: int) -> None:
        tamper("DELETE FROM vault_events WHERE sequence = %s", sequence)
        assert vault_verify().broken == f"event {sequence} is missing"

    def test_events_deleted_and_the_rest_moved_up(self, vault: list[int]) -> None:
        tamper("DELETE FROM vault_events WHERE sequence = 4")
        tamper("UPDATE vault_events SET sequence = 4 WHERE sequence = 5")
        tamper("UPDATE vault_heads SET sequence = 4")
        assert vault_verify().broken.startswith("event 4 does not follow the one before it")

    def test_two_events_swapped(self, vault: list[int]) -> None:
        for old, new in ((4, 99), (5, 4), (99, 5)):
            tamper("UPDATE vault_events SET sequence = %s WHERE sequence = %s", new, old)
        assert vault_verify().broken.startswith("event 4 does not follow the one before it")

    def test_an_event_slipped_in_behind_the_head(self, vault: list[int]) -> None:
        tamper("UPDATE vault_heads SET sequence = 4, hash = (SELECT hash FROM vault_events WHERE sequence = 4)")
        assert vault_verify().broken == "event 5 or a later one lies beyond the head, which says there are 4"

    def test_the_heads_hash_changed(self, vault: list[int]) -> None:
        tamper("UPDATE vault_heads SET hash = %s", "0" * 64)
        assert vault_verify().broken == "the head's hash is not that of event 5"

    def test_the_head_set_ahead(self, vault: list[int]) -> None:
        tamper("UPDATE vault_heads SET sequence = 9")
        assert vault_verify().broken == "event 6 is missing; the head says there are 9"

    def test_the_head_deleted(self, vault: list[int]) -> None:
        tamper("DELETE FROM vault_heads")
        assert "beyond the head" in vault_verify().broken

    def test_the_tail_cut_together_with_the_head_is_seen_by_the_heads_seal(self, vault: list[int]) -> None:
        tamper("DELETE FROM vault_events WHERE sequence = 5")
        tamper("UPDATE vault_heads SET sequence = 4, hash = (SELECT hash FROM vault_events WHERE sequence = 4)")
        assert vault_verify().broken == "the head was set to event 4 by somebody without the key"

    def test_the_tail_cut_with_a_copy_of_the_older_head_is_seen_only_with_a_head_kept_outside(
        self, vault: list[int]
    ) -> None:
        older = VaultHead.objects.get()
        vault_append(kind=VaultKind.BUDGET, body={"n": 6})
        kept = vault_verify()
        tamper("DELETE FROM vault_events WHERE sequence = 6")
        tamper("UPDATE vault_heads SET sequence = %s, hash = %s, seal = %s", older.sequence, older.hash, older.seal)
        assert vault_verify().broken == ""
        assert not VaultEvent.objects.filter(hash=kept.head).exists()


class TestTheBatches:
    @pytest.mark.parametrize(
        ("table", "column", "value"),
        [
            ("decision_choices", "propensity", 0.5),
            ("decision_choices", "marginal_propensity", 0.5),
            ("decision_choices", "action", 1),
            ("decision_choices", "version", 8),
            ("served_decisions", "seed", b"0123456789abcdef"),
            ("decisions", "state", b"0123456789abcdef"),
        ],
    )
    def test_an_edited_decision(self, vault: list[int], table: str, column: str, value: Any) -> None:
        key = "id" if table == "decisions" else "decision_id"
        tamper(f"UPDATE {table} SET {column} = %s WHERE {key} = %s", value, vault[2])
        assert vault_verify().broken == f"decision {vault[2]} is not what event {SEALED} sealed"

    def test_a_choice_added_or_taken_away(self, vault: list[int]) -> None:
        Choice.objects.filter(decision=vault[3], head="tone").delete()
        assert vault_verify().broken == f"decision {vault[3]} is not what event {SEALED} sealed"

    def test_a_decision_slipped_into_a_batch(self, vault: list[int]) -> None:
        version = loop_version("other")
        (late,) = serve_many(version, add_people(version, 1, first=50), first=50)
        tamper("UPDATE served_decisions SET vault_batch_id = %s WHERE decision_id = %s", SEALED, late)
        assert vault_verify().broken == f"decision {late} is not what event {SEALED} sealed"

    def test_an_edited_leaf(self, vault: list[int]) -> None:
        blob = bytearray(VaultBatch.objects.get().leaves)
        blob[40] ^= 1
        tamper("UPDATE vault_batches SET leaves = %s", bytes(blob))
        assert vault_verify().broken == f"the leaves of event {SEALED} do not give its root"

    def test_an_edited_leaf_with_its_root_made_to_fit(self, vault: list[int]) -> None:
        blob = bytearray(VaultBatch.objects.get().leaves)
        blob[40] ^= 1
        root = merkle_root([bytes(blob[i : i + 32]) for i in range(0, len(blob), 32)]).hex()
        tamper("UPDATE vault_batches SET leaves = %s, root = %s", bytes(blob), root)
        assert vault_verify().broken == f"the batch of event {SEALED} is not the one that was sealed"

    @pytest.mark.parametrize("size", [0, 31, 5 * 32, 7 * 32])
    def test_leaves_cut_off_or_added(self, vault: list[int], size: int) -> None:
        blob = bytes(VaultBatch.objects.get().leaves) + bytes(32)
        tamper("UPDATE vault_batches SET leaves = %s", blob[:size])
        assert vault_verify().broken == f"the batch of event {SEALED} is not the one that was sealed"

    def test_a_lost_batch(self, vault: list[int]) -> None:
        tamper("UPDATE served_decisions SET vault_batch_id = NULL")
        tamper("DELETE FROM vault_batches")
        assert vault_verify().broken == f"event {SEALED} lost the leaves of its decisions"

    def test_a_batch_that_no_event_sealed(self, vault: list[int]) -> None:
        batch = VaultBatch.objects.get()
        VaultBatch.objects.create(event_id=5, decisions_count=6, leaves=bytes(batch.leaves), root=batch.root)
        assert vault_verify().broken == "a batch of decisions belongs to an event that sealed none"

    def test_a_decision_taken_out_and_sealed_again_leaves_its_first_leaf_behind(self, vault: list[int]) -> None:
        tamper("UPDATE decision_choices SET action = 1 WHERE decision_id = %s", vault[0])
        tamper("UPDATE served_decisions SET vault_batch_id = NULL WHERE decision_id = %s", vault[0])
        decisions_seal()
        found = vault_audit()
        assert (found.events, found.decisions, found.erased) == (6, 6, 1)
        assert found.broken == "a sealed decision is missing, and neither an erasure nor an expiry deleted it"


class TestWalking:
    def test_of_an_empty_vault(self) -> None:
        found = vault_verify()
        assert (found.events, found.sequence, found.head, found.broken) == (0, 0, GENESIS, "")

    def test_from_a_later_event_on_what_came_before_is_not_looked_at(self, vault: list[int]) -> None:
        tamper("UPDATE vault_events SET kind = 'erasure' WHERE sequence = 1")
        assert (vault_verify(since=2).events, vault_verify(since=2).broken) == (4, "")
        assert vault_verify(since=6).events == 0
        tamper("DELETE FROM vault_events WHERE sequence = 1")
        assert vault_verify(since=2).broken == "event 1 is missing"

    @pytest.mark.parametrize("since", [-1, 0, 7])
    def test_from_where_the_chain_does_not_reach_is_refused(self, vault: list[int], since: int) -> None:
        with pytest.raises(InputError, match=f"no event {since} to begin with; the Trust Vault's last event is 5"):
            vault_verify(since=since)

    def test_over_many_chunks_it_finds_the_same(self, vault: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        whole = vault_verify()
        monkeypatch.setattr(module, "VERIFY_CHUNK", 2)
        assert vault_verify() == whole
        tamper("DELETE FROM vault_events WHERE sequence = 4")
        assert vault_verify().broken == "event 4 is missing"

    def test_what_is_appended_meanwhile_breaks_nothing(self, vault: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        check = module._check_link

        def appending(event: VaultEvent, expected: int, previous: str, *, keyed: bool) -> bool:
            is_keyed = check(event, expected, previous, keyed=keyed)
            vault_append(kind=VaultKind.BUDGET, body={})
            return is_keyed

        monkeypatch.setattr(module, "_check_link", appending)
        found = vault_verify()
        assert (found.events, found.sequence, found.broken) == (5, 5, "")
        assert VaultHead.objects.get().sequence == 10


class TestTheCommand:
    def run(self, *arguments: str) -> str:
        out = io.StringIO()
        call_command("verify_vault", *arguments, stdout=out)
        return out.getvalue()

    def test_it_says_what_holds_and_the_head_to_keep(self, vault: list[int]) -> None:
        head = VaultHead.objects.get()
        assert self.run() == f"ok: 5 events, 6 decisions\nhead: 5 {head.hash}\n"
        ServedDecision.objects.filter(pk=vault[0]).delete()
        assert self.run("--since", "3").startswith("ok: 3 events, 5 decisions (1 sealed decisions were deleted since)")

    def test_a_broken_link_is_named_and_ends_it_with_an_error(self, vault: list[int]) -> None:
        tamper("DELETE FROM vault_events WHERE sequence = 4")
        with pytest.raises(CommandError, match="the Trust Vault is broken: event 4 is missing") as error:
            self.run()
        assert error.value.returncode == 1

    def test_as_json(self, vault: list[int]) -> None:
        head = VaultHead.objects.get().hash
        assert json.loads(self.run("--json")) == {
            "ok": True, "events": 5, "decisions": 6, "erased": 0, "sequence": 5, "head": head, "broken": "",
            "adopted": 0,
        }  # fmt: skip
        Decision.objects.filter(pk=vault[0]).update(state=b"x")
        out = io.StringIO()
        with pytest.raises(CommandError):
            call_command("verify_vault", "--json", stdout=out)
        assert json.loads(out.getvalue())["ok"] is False

    def test_a_start_beyond_the_head_is_refused(self, vault: list[int]) -> None:
        with pytest.raises(CommandError, match="no event 9"):
            self.run("--since", "9")


class TestStatus:
    def test_before_anything_happened(self) -> None:
        status = vault_status()
        assert (status.events, status.head, status.verified_at, status.broken) == (0, GENESIS, None, "")

    def test_after_a_walk_that_held(self, vault: list[int]) -> None:
        made = vault_check()
        status = vault_status()
        assert (status.events, status.verified_to, status.verified_at) == (5, 5, made.created_at)
        assert (status.broken, status.broken_at, status.waiting) == ("", None, 0)
        assert (made.head, made.decisions_count, made.erased_count) == (status.head, 6, 0)

    def test_after_a_walk_that_broke(self, vault: list[int], caplog: pytest.LogCaptureFixture) -> None:
        held = vault_check()
        tamper("DELETE FROM vault_events WHERE sequence = 4")
        with caplog.at_level(logging.ERROR, logger="privacy"):
            broke = vault_check()
        assert "the Trust Vault is broken: event 4 is missing" in caplog.text
        status = vault_status()
        assert (status.broken, status.broken_at) == ("event 4 is missing", broke.created_at)
        assert (status.verified_at, status.verified_to) == (held.created_at, 5)
        assert VaultCheck.objects.count() == 2

    def test_decisions_that_wait_to_be_sealed_are_counted(self, vault: list[int]) -> None:
        version = loop_version("other")
        serve_many(version, add_people(version, 2, first=50))
        assert vault_status().waiting == 2


def test_an_empty_installation_has_nothing_to_adopt() -> None:
    assert vault_adopt() == 0 and default_caps_record() and not default_caps_record()
    assert vault_audit().broken == ""
