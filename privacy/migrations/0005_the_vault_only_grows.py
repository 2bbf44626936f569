"""The vault's walks, and triggers by which the database refuses to change or delete what is in the vault."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLES = ("vault_events", "vault_batches")
SAID = "the Trust Vault only grows"
POSTGRESQL = f"""
CREATE FUNCTION vault_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '{SAID}: % of % is refused', lower(TG_OP), TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$
"""


def add(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute(POSTGRESQL, params=None)
        for table in TABLES:
            editor.execute(
                f"CREATE TRIGGER {table}_only_grow BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION vault_refuse()"
            )
    elif editor.connection.vendor == "sqlite":
        for table in TABLES:
            for act in ("update", "delete"):
                editor.execute(
                    f"CREATE TRIGGER {table}_no_{act} BEFORE {act.upper()} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{SAID}: {act} of {table} is refused'); END"
                )


def remove(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    for table in TABLES:
        if editor.connection.vendor == "postgresql":
            editor.execute(f"DROP TRIGGER {table}_only_grow ON {table}")
        elif editor.connection.vendor == "sqlite":
            for act in ("update", "delete"):
                editor.execute(f"DROP TRIGGER {table}_no_{act}")
    if editor.connection.vendor == "postgresql":
        editor.execute("DROP FUNCTION vault_refuse()")


class Migration(migrations.Migration):
    dependencies = [
        ("privacy", "0004_serving_as_it_was"),
    ]

    operations = [
        migrations.CreateModel(
            name="VaultCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("sequence", models.PositiveBigIntegerField(help_text="Events that hold.")),
                (
                    "head",
                    models.CharField(blank=True, help_text="Hash of the last event that holds.", max_length=64),
                ),
                (
                    "decisions_count",
                    models.PositiveBigIntegerField(help_text="Sealed decisions that are what was sealed."),
                ),
                (
                    "erased_count",
                    models.PositiveBigIntegerField(help_text="Sealed decisions that are no longer there."),
                ),
                ("broken", models.TextField(blank=True)),
            ],
            options={
                "db_table": "vault_checks",
                "indexes": [models.Index(condition=models.Q(("broken", "")), fields=["-id"], name="vault_check_held")],
            },
        ),
        migrations.RunPython(add, remove),
    ]
