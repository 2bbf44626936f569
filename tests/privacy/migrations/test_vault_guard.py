"""The SQL of the Trust Vault's triggers is history: what a migration executes never changes, wherever its text lives."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

EXECUTED = [
    "CREATE TRIGGER IF NOT EXISTS vault_events_no_update BEFORE UPDATE ON vault_events "
    "BEGIN SELECT RAISE(ABORT, 'the Trust Vault only grows: update of vault_events is refused'); END",
    "CREATE TRIGGER IF NOT EXISTS vault_events_no_delete BEFORE DELETE ON vault_events "
    "BEGIN SELECT RAISE(ABORT, 'the Trust Vault only grows: delete of vault_events is refused'); END",
]


@pytest.mark.parametrize(("vendor", "executed"), [("sqlite", EXECUTED), ("postgresql", [])])
@pytest.mark.parametrize(
    "name",
    ["0015_imports_check_propensities", "0017_turns_in_the_vault", "0019_the_vault_covers_every_table"],
)
def test_a_migration_that_rebuilds_the_table_creates_its_triggers_again(
    name: str, vendor: str, executed: list[str]
) -> None:
    operations: list[Any] = import_module(f"privacy.migrations.{name}").Migration.operations
    sql: list[str] = []
    editor = SimpleNamespace(connection=SimpleNamespace(vendor=vendor), execute=sql.append)
    operations[-1].code(None, editor)
    assert sql == executed
    operations[0].reverse_code(None, editor)
    assert sql == executed * 2
