"""Somebody owns the database but not the keys, and rewrites, deletes, forges or swaps rows of each table: each is found.

They are as careful as the database allows: digests without a key are made to fit, and so are rows that follow from others.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction

from core.checksums import sha256_hex
from privacy.engine.hash_chain import GENESIS, event_hash
from privacy.engine.sealing import new_key, wrap
from privacy.models import Decision, PrivacyBudget, ServedDecision, VaultEvent, VaultKind
from privacy.selectors.keys import master
from privacy.services.vault.append import time_text, vault_append
from privacy.services.vault.deleted_rows import removed_sums
from privacy.services.vault.sealed_decisions import decisions_seal
from privacy.services.vault.verify import vault_audit
from tests.factories.vault_world import VaultWorld, vault_world
from tests.tampering import as_json, owning_the_database, tamper
from training.models import GateVerdict

pytestmark = pytest.mark.django_db

Tampering = Callable[[VaultWorld], None]
LIST: list[Any] = []


def kind(table: str, how: str, broken: str) -> Callable[[Tampering], Tampering]:
    """List a tampering: the table, what is done to it, and what the verification says (a part of it)."""

    def listed(tampering: Tampering) -> Tampering:
        LIST.append(pytest.param(tampering, broken, id=f"{table}: {how}"))
        return tampering

    return listed


@pytest.fixture(scope="module")
def world(rows_of_module: None, tmp_path_factory: pytest.TempPathFactory) -> VaultWorld:
    return vault_world(tmp_path_factory.mktemp("world"))


def value(statement: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values))
        (found,) = cursor.fetchone() or (None,)
        return found


def swap(table: str, columns: str, one: int, other: int, key: str = "id") -> None:
    """Swap columns of two rows, past any unique constraint."""
    names = columns.split()
    rows = {}
    for pk in (one, other):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(names)} FROM {table} WHERE {key} = %s", [pk])
            rows[pk] = cursor.fetchone()
    assert rows[one] != rows[other], "the swap changes something"
    assert rows[one] is not None and rows[other] is not None
    columns_set = ", ".join(f"{name} = %s" for name in names)
    with owning_the_database(), connection.cursor() as cursor:
        taken = [f"x{n}" if isinstance(v, str) else v for n, v in enumerate(rows[other])]
        for pk, found in ((one, taken), (other, rows[one]), (one, rows[other])):
            cursor.execute(f"UPDATE {table} SET {columns_set} WHERE {key} = %s", [*found, pk])


def copy(table: str, pk: int, id_column: str = "id", **changes: Any) -> int:
    """Insert a copy of a row with some columns changed. Returns its id."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} WHERE {id_column} = %s", [pk])
        names = [column[0] for column in cursor.description or ()]
        row = dict(zip(names, cursor.fetchone() or (), strict=True)) | changes
    if id_column == "id":
        row["id"] = value(f"SELECT max(id) + 1 FROM {table}")
    marks = ", ".join("%s::jsonb" if name in JSON and connection.vendor == "postgresql" else "%s" for name in row)
    columns = ", ".join(f'"{name}"' for name in row)
    values = [as_json(v) if isinstance(v, (dict, list)) else v for v in row.values()]
    with owning_the_database(), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)
    return int(row[id_column])


JSON = {"parameters", "config", "frozen_policy", "body", "counts", "propensities"}


# Budgets and caps


@kind("budgets", "rewrite the lifetime", "the budget of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE privacy_budget SET spent_lifetime = 0, spent_day = 0 WHERE person_id = %s", w.people["cam"])


@kind("budgets", "rewrite rho", "the budget of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE privacy_budget SET rho_spent = 0 WHERE person_id = %s", w.people["cam"])


@kind("budgets", "rewrite what a day has spent", "the day's budget of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE privacy_budget SET spent_day = 0 WHERE person_id = %s", w.people["cam"])


@kind("budgets", "rewrite what a week has spent upwards", "the week's budget of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE privacy_budget SET spent_week = cap_week WHERE person_id = %s", w.people["cam"])


@kind("budgets", "forge a window that has not begun", "the month's budget of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE privacy_budget SET month = '2999-01-01', spent_month = 0 WHERE person_id = %s", w.people["cam"])


@kind("budgets", "rewrite a formal account that is void", "the formal account of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE privacy_budget SET formal_void_at = NULL WHERE person_id = %s", w.people["cam"])


@kind("budgets", "delete", "a person has no budget")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM privacy_budget WHERE person_id = %s", w.people["ida"])


@kind("budgets", "swap what two people have spent", "the budget of person")
def _(w: VaultWorld) -> None:
    swap(
        "privacy_budget",
        "spent_day spent_week spent_month spent_lifetime rho_spent",
        w.people["cam"],
        w.people["ida"],
        "person_id",
    )


@kind("caps", "rewrite", "the caps of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE privacy_budget SET cap_lifetime = cap_lifetime * 100 WHERE person_id = %s", w.people["cam"])


@kind("caps", "rewrite the lifetime's rho", "the caps of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE privacy_budget SET rho_cap = rho_cap * 2 WHERE person_id = %s", w.people["cam"])


@kind("caps", "delete what an operator set, by the default", "the caps of person")
def _(w: VaultWorld) -> None:
    default = value("SELECT cap_month FROM privacy_budget WHERE person_id = %s", w.people["cam"])
    tamper("UPDATE privacy_budget SET cap_month = %s WHERE person_id = %s", default, w.people["ann"])


@kind("caps", "swap", "the caps of person")
def _(w: VaultWorld) -> None:
    swap("privacy_budget", "cap_month", w.people["ann"], w.people["cam"], "person_id")


# The ledger


@kind("ledger entries", "rewrite, with the budget made to fit", "the ledger entries of release")
def _(w: VaultWorld) -> None:
    person = w.people["cam"]
    tamper("UPDATE ledger_entries SET rho = rho - 5 WHERE release_id = %s AND person_id = %s", w.spent.pk, person)
    tamper("UPDATE privacy_budget SET rho_spent = rho_spent - 5 WHERE person_id = %s", person)


@kind("ledger entries", "delete, with the budget made to fit", "the ledger entries of release")
def _(w: VaultWorld) -> None:
    person, cost, rho = w.people["cam"], w.spent.policy_cost, w.spent.rho
    tamper("DELETE FROM ledger_entries WHERE release_id = %s AND person_id = %s", w.spent.pk, person)
    spent = ", ".join(f"spent_{window} = spent_{window} - {cost}" for window in ("day", "week", "month", "lifetime"))
    tamper(f"UPDATE privacy_budget SET {spent}, rho_spent = rho_spent - %s WHERE person_id = %s", rho, person)


@kind("ledger entries", "forge, with the budget made to fit", "the ledger entries of release")
def _(w: VaultWorld) -> None:
    entry = value("SELECT min(id) FROM ledger_entries WHERE release_id = %s", w.spent.pk)
    copy("ledger_entries", entry, person_id=w.people["ida"])
    cost = w.spent.policy_cost
    spent = ", ".join(f"spent_{window} = spent_{window} + {cost}" for window in ("day", "week", "month", "lifetime"))
    tamper(f"UPDATE privacy_budget SET {spent}, rho_spent = %s WHERE person_id = %s", w.spent.rho, w.people["ida"])


@kind("ledger entries", "swap the people of two releases", "the ledger entries of release")
def _(w: VaultWorld) -> None:
    entry = value("SELECT min(id) FROM ledger_entries WHERE release_id = %s", w.spent.pk)
    tamper("UPDATE ledger_entries SET person_id = %s WHERE id = %s", w.people["ida"], entry)


# Releases and their outputs


@kind("releases", "rewrite the cost and rho", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    tamper("UPDATE anonymization_logs SET rho = 1, formal_epsilon = 0.001 WHERE id = %s", w.spent.pk)


@kind("releases", "rewrite the state", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    tamper("UPDATE anonymization_logs SET state = 'refunded', committed_at = NULL WHERE id = %s", w.spent.pk)


@kind("releases", "delete one with its entries and outputs", "release")
def _(w: VaultWorld) -> None:
    tamper("UPDATE reward_signals SET release_id = NULL")
    tamper("DELETE FROM ledger_entries WHERE release_id = %s", w.spent.pk)
    tamper("DELETE FROM release_rounds WHERE release_id = %s", w.spent.pk)
    tamper("DELETE FROM anonymization_logs WHERE id = %s", w.spent.pk)


@kind("releases", "forge", "was added without an event")
def _(w: VaultWorld) -> None:
    copy("anonymization_logs", w.spent.pk, key="forged")


@kind("releases", "swap the parameters of two", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    swap("anonymization_logs", "purpose", w.spent.pk, w.refunded.pk)


@kind("release outputs", "rewrite, with the SHA-256 made to fit", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    output = b"another output"
    statement = "UPDATE release_rounds SET output = %s, output_sha256 = %s WHERE release_id = %s AND index = 0"
    tamper(statement.replace("index", '"index"'), output, sha256_hex(output), w.spent.pk)


@kind("release outputs", "rewrite alone", "is not what was stored")
def _(w: VaultWorld) -> None:
    tamper("UPDATE release_rounds SET output = %s WHERE release_id = %s", b"another output", w.spent.pk)


@kind("release outputs", "delete", "is missing")
def _(w: VaultWorld) -> None:
    tamper('DELETE FROM release_rounds WHERE release_id = %s AND "index" = 1', w.spent.pk)


@kind("release outputs", "delete the rows of an export before their time", "the stored rows of 'emptied'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE release_rounds SET output = %s WHERE release_id = %s", b"", w.export.pk)


@kind("release outputs", "rewrite the rows of an export, unsealed and with no key", "is not what was stored")
def _(w: VaultWorld) -> None:
    tamper("UPDATE release_rounds SET output = %s WHERE release_id = %s", b"rows of people", w.export.pk)


@kind("release outputs", "delete the key of an export", "is not what was stored")
def _(w: VaultWorld) -> None:
    tamper(
        "DELETE FROM export_keys WHERE round_id = (SELECT id FROM release_rounds WHERE release_id = %s)", w.export.pk
    )


@kind("release outputs", "forge", "was added without an event")
def _(w: VaultWorld) -> None:
    copy("release_rounds", value("SELECT min(id) FROM release_rounds WHERE release_id = %s", w.spent.pk), index=7)


@kind("release outputs", "swap two", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    first = value("SELECT min(id) FROM release_rounds WHERE release_id = %s", w.spent.pk)
    last = value("SELECT max(id) FROM release_rounds WHERE release_id = %s", w.spent.pk)
    swap("release_rounds", "output output_sha256", first, last)


# Consents


def _act(w: VaultWorld, name: str, purpose: str) -> int:
    return int(value("SELECT max(id) FROM consents WHERE person_id = %s AND purpose = %s", w.people[name], purpose))


@kind("consents", "rewrite a withdrawal, with the mask made to fit", "the stored rows of 'consents'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE consents SET granted = %s WHERE id = %s", True, _act(w, "bob", "training"))
    tamper("UPDATE privacy_budget SET consent_mask = 7 WHERE person_id = %s", w.people["bob"])


@kind("consents", "delete a withdrawal, with the mask made to fit", "the stored rows of 'consents'")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM consents WHERE id = %s", _act(w, "bob", "training"))
    tamper("UPDATE privacy_budget SET consent_mask = 7 WHERE person_id = %s", w.people["bob"])


@kind("consents", "forge, with the mask made to fit", "the stored rows of 'consents'")
def _(w: VaultWorld) -> None:
    copy("consents", _act(w, "cam", "training"), person_id=w.people["ida"])
    tamper("UPDATE privacy_budget SET consent_mask = 3 WHERE person_id = %s", w.people["ida"])


@kind("consents", "swap whose they are, with the masks made to fit", "the stored rows of 'consents'")
def _(w: VaultWorld) -> None:
    swap("consents", "person_id", _act(w, "bob", "training"), _act(w, "cam", "training"))
    swap("privacy_budget", "consent_mask", w.people["bob"], w.people["cam"], "person_id")


@kind("consents", "rewrite the text that was agreed to", "the stored rows of 'consents'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE consents SET text_version = '2' WHERE id = %s", _act(w, "cam", "training"))


@kind("consent masks", "rewrite", "the consents of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE privacy_budget SET consent_mask = 7 WHERE person_id = %s", w.people["bob"])


@kind("consent masks", "swap", "the consents of person")
def _(w: VaultWorld) -> None:
    swap("privacy_budget", "consent_mask", w.people["bob"], w.people["cam"], "person_id")


# Decisions that were served


@kind("decisions served", "rewrite", "is not what event")
def _(w: VaultWorld) -> None:
    tamper("UPDATE decision_choices SET propensity = 0.9 WHERE decision_id = %s", w.served[0])


@kind("decisions served", "delete", "a sealed decision is missing")
def _(w: VaultWorld) -> None:
    _delete_served(w.served[0])


def _delete_served(pk: int) -> None:
    for table, column in (
        ("decision_choices", "decision_id"), ("reward_signals", "decision_id"), ("served_decisions", "decision_id"),
        ("decisions", "id"),
    ):  # fmt: skip
        tamper(f"DELETE FROM {table} WHERE {column} = %s", pk)


def _forged(w: VaultWorld, public_id: uuid.UUID) -> int:
    pk = copy("decisions", w.served[0], row_key=b"forged row key..")
    sealed = public_id if connection.vendor == "postgresql" else public_id.hex
    copy(
        "served_decisions",
        w.served[0],
        "decision_id",
        decision_id=pk,
        request_key=b"forged request..",
        public_id=sealed,
        vault_batch_id=None,
    )
    return pk


@kind("decisions served", "forge one that the platform would seal", "was not made by the platform")
def _(w: VaultWorld) -> None:
    _forged(w, uuid.uuid4())
    assert decisions_seal() is None, "and it does not"


@kind("decisions served", "forge a copy of one under another loop version", "was not made by the platform")
def _(w: VaultWorld) -> None:
    pk = _forged(w, uuid.uuid4())
    other = copy("loop_versions", w.loop.pk, version=99)
    key = bytes(Decision.objects.get(pk=w.served[0]).row_key)
    tamper("UPDATE decisions SET row_key = %s, loop_version_id = %s WHERE id = %s", key, other, pk)


@kind("decisions served", "swap whose they are", "is not what event")
def _(w: VaultWorld) -> None:
    swap("decisions", "person_id", w.served[0], w.served[1])
    swap("served_decisions", "person_id", w.served[0], w.served[1], "decision_id")


@kind("decisions served", "take one out, rewrite it and have it sealed again", "a sealed decision is missing")
def _(w: VaultWorld) -> None:
    tamper("UPDATE decision_choices SET action = 2 WHERE decision_id = %s", w.served[1])
    tamper("UPDATE served_decisions SET vault_batch_id = NULL WHERE decision_id = %s", w.served[1])
    assert decisions_seal() is not None


@kind("decisions served", "rewrite whether the person was available", "is not what event")
def _(w: VaultWorld) -> None:
    flag = not Decision.objects.get(pk=w.served[0]).available
    tamper("UPDATE decisions SET available = %s WHERE id = %s", flag, w.served[0])


@kind("decisions served", "rewrite whether the person left for good", "is not what event")
def _(w: VaultWorld) -> None:
    tamper("UPDATE decisions SET dropped_out = %s WHERE id = %s", True, w.served[0])


@kind("decisions served", "rewrite the person's day", "is not what event")
def _(w: VaultWorld) -> None:
    tamper("UPDATE decisions SET local_day = '2020-01-01' WHERE id = %s", w.served[0])


@kind("decisions served", "rewrite the deadline of the reward", "is not what event")
def _(w: VaultWorld) -> None:
    tamper("UPDATE served_decisions SET closes_at = '2020-01-01 00:00:00+00:00' WHERE decision_id = %s", w.served[0])


@kind("decisions served", "rewrite when its outcome was closed", "contradict each other")
def _(w: VaultWorld) -> None:
    pk = value(
        "SELECT min(decision_id) FROM reward_signals WHERE decision_id IN (SELECT decision_id FROM served_decisions)"
    )
    tamper("UPDATE served_decisions SET closed_at = NULL WHERE decision_id = %s", pk)


# Decisions that were imported


@kind("decisions imported", "rewrite when the platform received it", "the stored rows of 'decisions'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE decisions SET created_at = '2020-01-01 00:00:00+00:00' WHERE id = %s", _imported(0))


def _imported(position: int) -> int:
    return int(list(Decision.objects.filter(served=None).order_by("pk").values_list("pk", flat=True))[position])


@kind("decisions imported", "rewrite", "the stored rows of 'decisions'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE decision_choices SET action = 0 WHERE decision_id = %s", _imported(1))


@kind("decisions imported", "delete, with its outcome", "the stored rows of 'outcomes'")
def _(w: VaultWorld) -> None:
    pk = _imported(0)
    for table in ("decision_choices", "reward_signals"):
        tamper(f"DELETE FROM {table} WHERE decision_id = %s", pk)
    tamper("DELETE FROM decisions WHERE id = %s", pk)


@kind("decisions imported", "forge", "the stored rows of 'decisions'")
def _(w: VaultWorld) -> None:
    copy("decisions", _imported(0), row_key=b"forged row key..")


@kind("decisions imported", "swap whose they are", "the stored rows of 'decisions'")
def _(w: VaultWorld) -> None:
    swap("decisions", "person_id", _imported(0), _imported(1))


# Outcomes


def _outcome(position: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM reward_signals ORDER BY id")
        return int(cursor.fetchall()[position][0])


@kind("outcomes", "rewrite", "the stored rows of 'outcomes'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE reward_signals SET harmful = %s WHERE id = %s", None, _outcome(0))


@kind("outcomes", "delete", "the stored rows of 'outcomes'")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM reward_signals WHERE id = %s", _outcome(-1))


@kind("outcomes", "forge", "the stored rows of 'outcomes'")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM reward_signals WHERE id = %s", _outcome(-1))
    copy("reward_signals", _outcome(0), decision_id=w.served[-3])


@kind("outcomes", "swap", "the stored rows of 'outcomes'")
def _(w: VaultWorld) -> None:
    swap("reward_signals", "payload", _outcome(0), _outcome(1))


@kind("outcomes", "rewrite whether it holds a reward", "the stored rows of 'outcomes'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE reward_signals SET has_reward = %s WHERE id = %s", False, _outcome(0))


@kind("outcomes", "rewrite when the platform received it", "the stored rows of 'outcomes'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE reward_signals SET created_at = '2020-01-01 00:00:00+00:00' WHERE id = %s", _outcome(0))


@kind("outcomes", "rewrite which release read it, so that another reads it again", "the stored rows of 'read'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE reward_signals SET release_id = NULL WHERE release_id = %s", w.spent.pk)


@kind("outcomes", "forge that a release read one, so that none does", "the stored rows of 'read'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE reward_signals SET release_id = %s WHERE release_id IS NULL", w.spent.pk)


# Webhooks


@kind("webhooks", "rewrite where it goes", "webhooks")
def _(w: VaultWorld) -> None:
    tamper("UPDATE webhook_endpoints SET url = 'https://elsewhere.example.org/' WHERE name = 'pager'")


@kind("webhooks", "rewrite what it hears", "webhooks")
def _(w: VaultWorld) -> None:
    tamper("UPDATE webhook_endpoints SET enabled = %s WHERE name = 'pager'", False)


@kind("webhooks", "delete", "webhooks")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM webhook_endpoints WHERE name = 'pager'")


@kind("webhooks", "forge", "webhooks")
def _(w: VaultWorld) -> None:
    pk = value("SELECT id FROM webhook_endpoints WHERE name = 'pager'")
    copy("webhook_endpoints", pk, name="spy", public_id=uuid.uuid4().hex)


@kind("webhooks", "swap", "webhooks")
def _(w: VaultWorld) -> None:
    one, other = (value("SELECT id FROM webhook_endpoints WHERE name = %s", name) for name in ("chat", "pager"))
    swap("webhook_endpoints", "url", one, other)


# Second operators


@kind("approvals", "rewrite who asked", "approval")
def _(w: VaultWorld) -> None:
    tamper("UPDATE approvals SET asked_by_account = asked_by_account + 100 WHERE state = 'approved'")


@kind("approvals", "rewrite what was asked for", "approval")
def _(w: VaultWorld) -> None:
    tamper("UPDATE approvals SET door = 'deploy' WHERE state = 'waiting'")


@kind("approvals", "delete", "approval")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM approvals WHERE state = 'declined'")


@kind("approvals", "forge", "approval")
def _(w: VaultWorld) -> None:
    copy("approvals", value("SELECT id FROM approvals WHERE state = 'waiting'"), asked_by="somebody else")


@kind("approvals", "swap", "approval")
def _(w: VaultWorld) -> None:
    one, other = (value("SELECT id FROM approvals WHERE state = %s", state) for state in ("approved", "declined"))
    swap("approvals", "words", one, other)


# Deployments and versions


@kind("deployments", "rewrite who rolled back", "rollouts")
def _(w: VaultWorld) -> None:
    tamper("UPDATE incidents SET actor = 'somebody else'")


def _deployment(state: str) -> int:
    return int(value("SELECT max(id) FROM deployment_history WHERE state = %s", state))


@kind("deployments", "rewrite", "rollouts")
def _(w: VaultWorld) -> None:
    tamper("UPDATE deployment_history SET actor = 'bob' WHERE id = %s", _deployment("rolled_back"))


@kind("deployments", "rewrite what serves", "rollouts")
def _(w: VaultWorld) -> None:
    tamper(
        "UPDATE serving_slots SET stable_id = %s, holdback_id = NULL, holdback_bp = 0, rotates = %s WHERE stable_id = %s",
        w.first,
        False,
        w.second,
    )


@kind("deployments", "plant a shadow", "rollouts")
def _(w: VaultWorld) -> None:
    tamper("UPDATE serving_slots SET shadow_id = %s WHERE stable_id <> %s AND candidate_id IS NULL", w.second, w.second)


@kind("deployments", "let the app choose", "rollouts")
def _(w: VaultWorld) -> None:
    tamper(
        "UPDATE serving_slots SET shadow_id = %s, app_chooses = %s WHERE stable_id <> %s AND candidate_id IS NULL",
        w.second,
        True,
        w.second,
    )


@kind("deployments", "delete a rollback", "rollouts")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM incidents")


@kind("deployments", "forge", "rollouts")
def _(w: VaultWorld) -> None:
    copy("deployment_history", _deployment("rolled_back"), reason="forged")


@kind("deployments", "swap the versions of two", "rollouts")
def _(w: VaultWorld) -> None:
    swap("deployment_history", "version_id", _deployment("rolled_back"), _deployment("succeeded"))


@kind("model versions", "rewrite the weights, with the SHA-256 made to fit", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    blob = b"other weights"
    tamper(
        "UPDATE model_versions SET weights = %s, weights_sha256 = %s WHERE id = %s", blob, sha256_hex(blob), w.second
    )


@kind("model versions", "rewrite the weights alone", "the weights of version")
def _(w: VaultWorld) -> None:
    tamper("UPDATE model_versions SET weights = %s WHERE id = %s", b"other weights", w.second)


@kind("model versions", "rewrite the state", "rollouts")
def _(w: VaultWorld) -> None:
    tamper("UPDATE model_versions SET state = 'evaluating' WHERE id = %s", w.first)


@kind("model versions", "delete", "is missing")
def _(w: VaultWorld) -> None:
    for table in ("gate_verdicts", "incidents"):
        tamper(f"DELETE FROM {table} WHERE version_id = %s", w.first)
    tamper("UPDATE deployment_history SET rollback_of_id = NULL, version_id = %s, previous_id = %s", w.second, w.second)
    tamper("UPDATE serving_slots SET holdback_id = NULL, holdback_bp = 0, rotates = %s", False)
    tamper("DELETE FROM model_versions WHERE id = %s", w.first)


@kind("model versions", "forge", "was added without an event")
def _(w: VaultWorld) -> None:
    copy("model_versions", w.second, number=99, state="evaluating")


@kind("model versions", "swap the weights of two", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    swap("model_versions", "weights weights_sha256", w.first, w.second)


# People and tombstones


@kind("erasure tombstones", "rewrite", "the row of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE persons SET key = %s WHERE id = %s", "0" * 64, w.people["gus"])


@kind("erasure tombstones", "delete, with all that is left of the person", "the row of an erased person is missing")
def _(w: VaultWorld) -> None:
    for table in ("ledger_entries", "privacy_budget"):
        tamper(f"DELETE FROM {table} WHERE person_id = %s", w.people["gus"])
    tamper("DELETE FROM persons WHERE id = %s", w.people["gus"])


@kind("erasure tombstones", "rewrite by the row and seal from before the erasure", "no longer holds the tombstone")
def _(w: VaultWorld) -> None:
    row = w.erased_before
    tamper(
        "UPDATE persons SET key = %s, seal = %s, erased_at = NULL, last_erased_at = NULL WHERE id = %s",
        row.key,
        row.seal,
        row.pk,
    )


@kind("erasure tombstones", "forge one for somebody alive", "the row of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE persons SET erased_at = created_at WHERE id = %s", w.people["ida"])


@kind("erasure tombstones", "swap two", "the row of person")
def _(w: VaultWorld) -> None:
    swap("persons", "key seal", w.people["gus"], w.people["hal"])


@kind("people", "swap who two budgets belong to", "the row of person")
def _(w: VaultWorld) -> None:
    swap("persons", "key fold seal", w.people["ida"], w.people["jon"])


@kind("people", "rewrite whether somebody trains or judges", "the row of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE persons SET fold = (fold + 1) %% 10000 WHERE id = %s", w.people["ida"])


# Windows of budgets


@kind("windows", "rewrite all to tomorrow, with nothing spent", "budget of person")
def _(w: VaultWorld) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    spent = ", ".join(f"{window} = %s, spent_{window} = 0" for window in ("day", "week", "month"))
    tamper(f"UPDATE privacy_budget SET {spent} WHERE person_id = %s", *[tomorrow] * 3, w.people["cam"])


@kind("windows", "rewrite a day to the one before its charges", "the day's budget of person")
def _(w: VaultWorld) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    tamper("UPDATE privacy_budget SET day = %s WHERE person_id = %s", yesterday, w.people["cam"])


@kind("windows", "rewrite a week to begin on a Tuesday", "the week's budget of person")
def _(w: VaultWorld) -> None:
    week = PrivacyBudget.objects.get(pk=w.people["ida"]).week - timedelta(days=6)
    tamper("UPDATE privacy_budget SET week = %s WHERE person_id = %s", week, w.people["ida"])


@kind("windows", "rewrite a month to begin on its second", "the month's budget of person")
def _(w: VaultWorld) -> None:
    month = PrivacyBudget.objects.get(pk=w.people["ida"]).month.replace(day=2) - timedelta(days=60)
    tamper("UPDATE privacy_budget SET month = %s WHERE person_id = %s", month.replace(day=2), w.people["ida"])


# Loops


@kind("loops", "rewrite whose people they share", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    tamper("UPDATE loops SET population = 'elsewhere' WHERE id = %s", w.loop.loop_id)


@kind("loops", "delete", "is missing")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM loops WHERE id = %s", w.loop.loop_id)


@kind("loops", "forge", "was added without an event")
def _(w: VaultWorld) -> None:
    copy("loops", w.loop.loop_id, name="forged", population="elsewhere")


@kind("loops", "swap the populations of two", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    swap("loops", "population", w.loop.loop_id, copy("loops", w.loop.loop_id, name="forged", population="elsewhere"))


@kind("loop versions", "rewrite the text, with the SHA-256 made to fit", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    text = w.loop.source.replace("scale = 0.5", "scale = 5.0")
    assert text != w.loop.source
    tamper(
        "UPDATE loop_versions SET source = %s, sha256 = %s WHERE id = %s", text, sha256_hex(text.encode()), w.loop.pk
    )


@kind("loop versions", "rewrite the bounds alone", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    tamper("UPDATE loop_versions SET source = replace(source, '[-1, 1]', '[-9, 9]') WHERE id = %s", w.loop.pk)


@kind("loop versions", "delete", "is missing")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM loop_versions WHERE id = %s", w.loop.pk)


@kind("loop versions", "forge a newer one", "was added without an event")
def _(w: VaultWorld) -> None:
    copy("loop_versions", w.loop.pk, version=99)


@kind("loop versions", "swap the texts of two", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    other = copy("loop_versions", w.loop.pk, version=99, source="another", sha256=sha256_hex(b"another"))
    swap("loop_versions", "source sha256", w.loop.pk, other)


# Accounts of people, and their keys


def _account(w: VaultWorld, name: str) -> int:
    return int(value("SELECT id FROM person_accounts WHERE person_id = %s", w.people[name]))


@kind("accounts of people", "rewrite whose it is", "the stored rows of 'accounts'")
def _(w: VaultWorld) -> None:
    tamper("UPDATE person_accounts SET person_id = %s WHERE id = %s", w.people["cam"], _account(w, "ann"))


@kind("accounts of people", "delete", "the stored rows of 'accounts'")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM person_accounts WHERE id = %s", _account(w, "ann"))


@kind("accounts of people", "forge", "the stored rows of 'accounts'")
def _(w: VaultWorld) -> None:
    copy("person_accounts", _account(w, "ann"), person_id=w.people["cam"], user_id=10_000)


@kind("accounts of people", "swap whose they are", "the stored rows of 'accounts'")
def _(w: VaultWorld) -> None:
    accounts = _account(w, "ann"), _account(w, "bob")
    for account, person in zip((*accounts, accounts[0]), (9_999, w.people["ann"], w.people["bob"]), strict=True):
        tamper("UPDATE person_accounts SET person_id = %s WHERE id = %s", person, account)


@kind("data keys", "rewrite", "the data key of person")
def _(w: VaultWorld) -> None:
    tamper("UPDATE data_keys SET wrapped = %s WHERE person_id = %s", b"k" * 60, w.people["cam"])


@kind("data keys", "rewrite that of somebody with imported rows alone", "the data key of person")
def _(w: VaultWorld) -> None:
    _delete_all_served(w.people["dee"])
    tamper("UPDATE data_keys SET wrapped = %s WHERE person_id = %s", b"k" * 60, w.people["dee"])


@kind("data keys", "delete that of somebody with imported rows alone", "the data key of person")
def _(w: VaultWorld) -> None:
    _delete_all_served(w.people["dee"])
    tamper("DELETE FROM data_keys WHERE person_id = %s", w.people["dee"])


@kind(
    "data keys", "forge one in place of another, wrapped by the platform for another row", "does not open their records"
)
def _(w: VaultWorld) -> None:
    """Somebody who was erased and came back has a new key. An old one, from a backup, unwraps but opens nothing."""
    _delete_all_served(w.people["dee"])
    version = max(settings.DATA_MASTER_KEYS)
    old = wrap(master(version), new_key(), version=version, person_id=w.people["dee"])
    tamper("UPDATE data_keys SET wrapped = %s WHERE person_id = %s", old, w.people["dee"])


@kind("data keys", "swap two", "the data key of person")
def _(w: VaultWorld) -> None:
    swap("data_keys", "wrapped", w.people["cam"], w.people["dee"], "person_id")


def _delete_all_served(person: int) -> None:
    """Let an expiry delete what a person was served, so that only rows of a file are left."""
    decisions = Decision.objects.filter(person=person, served__isnull=False)
    sums = removed_sums(decisions)
    decisions.delete()
    vault_append(kind=VaultKind.EXPIRY, body={}, sums=sums)
    assert Decision.objects.filter(person=person).exists() and vault_audit().broken == ""


# Imports, turns and verdicts


@kind("imports", "rewrite the reason for a refuted file", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    tamper("UPDATE signal_imports SET override = 'the team checked them'")


@kind("imports", "delete", "is missing")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM signal_imports")


@kind("imports", "forge", "was added without an event")
def _(w: VaultWorld) -> None:
    copy("signal_imports", value("SELECT min(id) FROM signal_imports"))


@kind("imports", "swap the files of two", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    first = int(value("SELECT min(id) FROM signal_imports"))
    swap("signal_imports", "file_sha256", first, copy("signal_imports", first, file_sha256="0" * 64))


@kind("turns", "rewrite who started it", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    tamper("UPDATE turns SET actor = 'somebody else'")


@kind("turns", "delete", "is missing")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM turn_stages")
    tamper("DELETE FROM turns")


@kind("turns", "forge one that is over", "was added without an event")
def _(w: VaultWorld) -> None:
    first = int(value("SELECT min(id) FROM turns"))
    copy("turns", first, outcome="kept", finished_at=value("SELECT created_at FROM turns WHERE id = %s", first))


@kind("turns", "swap who started two", "is not what the Trust Vault recorded")
def _(w: VaultWorld) -> None:
    first = int(value("SELECT min(id) FROM turns"))
    at = value("SELECT created_at FROM turns WHERE id = %s", first)
    swap("turns", "actor", first, copy("turns", first, outcome="kept", finished_at=at, actor="somebody else"))


@kind("verdicts", "rewrite to a pass", "judgements")
def _(w: VaultWorld) -> None:
    tamper("UPDATE gate_verdicts SET verdict = 'insufficient' WHERE version_id = %s", w.second)


@kind("verdicts", "delete", "is missing")
def _(w: VaultWorld) -> None:
    tamper("DELETE FROM gate_verdicts WHERE version_id = %s", w.second)


@kind("verdicts", "forge a later one", "judgements")
def _(w: VaultWorld) -> None:
    copy("gate_verdicts", value("SELECT max(id) FROM gate_verdicts"), attempt=2)


@kind("verdicts", "swap those of two versions", "judgements")
def _(w: VaultWorld) -> None:
    first, *_, last = GateVerdict.objects.order_by("pk").values_list("pk", flat=True)
    swap("gate_verdicts", "created_at", first, last)


@kind("verdicts", "rewrite a metric behind it", "judgements")
def _(w: VaultWorld) -> None:
    tamper("UPDATE model_metrics SET low = low - 1")


# The vault's own events


def _cut(after: int) -> None:
    tamper(
        "UPDATE served_decisions SET vault_batch_id = NULL WHERE vault_batch_id > %s OR vault_batch_id <= %s",
        after,
        after,
    )
    if value("SELECT count(*) FROM vault_batches WHERE event_id > %s", after):
        tamper("DELETE FROM vault_batches WHERE event_id > %s", after)
    tamper("DELETE FROM vault_events WHERE sequence > %s", after)
    hash_of = "SELECT hash FROM vault_events WHERE sequence = %s"
    tamper(f"UPDATE vault_heads SET sequence = %s, hash = ({hash_of})", after, after)


def _rewritten(changed: dict[int, dict[str, Any]]) -> None:
    """Rewrite the whole chain under hashes without a key, with some bodies changed and some events left out (an empty body)."""
    previous, sequence = GENESIS, 0
    with owning_the_database(), connection.cursor() as cursor:
        for event in list(VaultEvent.objects.order_by("sequence")):
            body = changed.get(event.sequence, event.body)
            cursor.execute(
                "UPDATE vault_events SET hash = %s WHERE sequence = %s", [f"old {event.sequence}", event.sequence]
            )
            if not body:
                cursor.execute("DELETE FROM vault_events WHERE sequence = %s", [event.sequence])
                continue
            sequence += 1
            digest = event_hash(
                sequence=sequence,
                kind=event.kind,
                at=time_text(event.at),
                subject=event.subject,
                body=body,
                previous=previous,
            )
            cast = "::jsonb" if connection.vendor == "postgresql" else ""
            if sequence != event.sequence:
                for table, column in (("vault_batches", "event_id"), ("served_decisions", "vault_batch_id")):
                    cursor.execute(f"UPDATE {table} SET {column} = %s WHERE {column} = %s", [sequence, event.sequence])
            cursor.execute(
                f"UPDATE vault_events SET sequence = %s, body = %s{cast}, previous_hash = %s, hash = %s WHERE sequence = %s",
                [sequence, as_json(body), previous, digest, event.sequence],
            )
            previous = digest
        cursor.execute("UPDATE vault_heads SET sequence = %s, hash = %s", [sequence, previous])


def _event(kind: str, position: int = 0) -> VaultEvent:
    return list(VaultEvent.objects.filter(kind=kind).order_by("sequence"))[position]


@kind("vault events", "rewrite one alone", "was changed")
def _(w: VaultWorld) -> None:
    tamper("UPDATE vault_events SET subject = %s WHERE sequence = %s", "0" * 64, _event("consent").sequence)


@kind("vault events", "rewrite one, and all hashes after it without the key", "the head was set")
def _(w: VaultWorld) -> None:
    event = _event("rollback")
    _rewritten({event.sequence: event.body | {"reason": "none"}})


@kind("vault events", "the same with the head unsealed", "no key protects")
def _(w: VaultWorld) -> None:
    event = _event("rollback")
    _rewritten({event.sequence: event.body | {"reason": "none"}})
    tamper("UPDATE vault_heads SET seal = ''")


@kind("vault events", "delete one, and close the gap without the key", "the head was set")
def _(w: VaultWorld) -> None:
    _rewritten({_event("rollback").sequence: {}})


@kind("vault events", "forge one at the end", "was changed")
def _(w: VaultWorld) -> None:
    last = VaultEvent.objects.latest("sequence")
    copy("vault_events", last.sequence, "sequence", sequence=last.sequence + 1, hash="f" * 64, previous_hash=last.hash)
    tamper("UPDATE vault_heads SET sequence = sequence + 1, hash = %s", "f" * 64)


@kind("vault events", "swap two", "does not follow")
def _(w: VaultWorld) -> None:
    first, second = _event("erasure").sequence, _event("erasure", 1).sequence
    for old, new in ((first, 9_999), (second, first), (9_999, second)):
        tamper("UPDATE vault_events SET sequence = %s WHERE sequence = %s", new, old)


@kind("vault events", "cut off the tail, with the head set back", "the head was set to event")
def _(w: VaultWorld) -> None:
    _cut(VaultEvent.objects.latest("sequence").sequence - 1)


@kind("vault events", "cut off a whole day, with the head set back", "the head was set to event")
def _(w: VaultWorld) -> None:
    _cut(_event("release").sequence)


@kind("vault events", "delete all, with the head", "was added without an event")
def _(w: VaultWorld) -> None:
    tamper("UPDATE served_decisions SET vault_batch_id = NULL")
    for table in ("vault_batches", "vault_events", "vault_heads"):
        tamper(f"DELETE FROM {table}")


@kind("vault batches", "delete one, with its decisions unsealed again", "lost the leaves of its decisions")
def _(w: VaultWorld) -> None:
    tamper("UPDATE served_decisions SET vault_batch_id = NULL")
    tamper("DELETE FROM vault_batches")


@kind("the head", "rewrite", "the head")
def _(w: VaultWorld) -> None:
    tamper("UPDATE vault_heads SET hash = %s", "0" * 64)


@pytest.mark.parametrize(("tampering", "broken"), LIST)
def test_it_is_found(world: VaultWorld, tampering: Tampering, broken: str) -> None:
    with transaction.atomic():  # taken back, so that all begin from the same rows
        tampering(world)
        found = vault_audit()
        transaction.set_rollback(True)
    assert broken in found.broken


def test_without_a_tampering_it_holds(world: VaultWorld) -> None:
    assert vault_audit().broken == ""
    assert ServedDecision.objects.filter(vault_batch=None).count() == 0


def test_every_table_is_tampered_with_in_every_way() -> None:
    assert len(LIST) >= 40 and len({param.id for param in LIST}) == len(LIST)
    ways = {
        (str(param.id).partition(": ")[0], str(param.id).partition(": ")[2].split()[0].strip(",")) for param in LIST
    }
    for table in (
        "ledger entries",
        "releases",
        "release outputs",
        "consents",
        "decisions served",
        "decisions imported",
        "outcomes",
        "deployments",
        "model versions",
        "erasure tombstones",
        "loops",
        "loop versions",
        "accounts of people",
        "approvals",
        "data keys",
        "imports",
        "turns",
        "verdicts",
        "vault events",
        "webhooks",
    ):
        missing = {way for way in ("rewrite", "delete", "forge", "swap") if (table, way) not in ways}
        assert missing == set(), table
