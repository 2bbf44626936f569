"""A charge becomes one statement: no receipt on the budget, no look-up of both references for each entry.

In their place the database refuses to delete from the permanent log at all.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def add(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute(
            "CREATE TRIGGER anonymization_logs_no_delete BEFORE DELETE ON anonymization_logs "
            "FOR EACH ROW EXECUTE FUNCTION vault_refuse()"
        )
        # Room on each page for the next version of its rows: a charge then touches no index.
        editor.execute("ALTER TABLE privacy_budget SET (fillfactor = 50)")
    elif editor.connection.vendor == "sqlite":
        editor.execute(
            "CREATE TRIGGER anonymization_logs_no_delete BEFORE DELETE ON anonymization_logs BEGIN "
            "SELECT RAISE(ABORT, 'the Trust Vault only grows: delete of anonymization_logs is refused'); END"
        )


def remove(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    on = " ON anonymization_logs" if editor.connection.vendor == "postgresql" else ""
    editor.execute(f"DROP TRIGGER anonymization_logs_no_delete{on}")


class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0007_payloads_are_sealed'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='privacybudget',
            name='last_release',
        ),
        migrations.AlterField(
            model_name='ledgerentry',
            name='person',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='ledger_entries', to='privacy.person'),
        ),
        migrations.AlterField(
            model_name='ledgerentry',
            name='release',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='privacy.release'),
        ),
        migrations.RunPython(add, remove),
    ]
