"""Create the triggers of the Trust Vault's events again on SQLite. Migrations that rebuild the table import this.

SQLite rebuilds a table whose constraint changes, without its triggers. The SQL is history: migrations that ran have executed it,
so it never changes. A migration that needs other triggers states its own.
"""

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SAID = "the Trust Vault only grows"


def guard(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor != "sqlite":
        return
    for act in ("update", "delete"):
        editor.execute(
            f"CREATE TRIGGER IF NOT EXISTS vault_events_no_{act} BEFORE {act.upper()} ON vault_events "
            f"BEGIN SELECT RAISE(ABORT, '{SAID}: {act} of vault_events is refused'); END"
        )
