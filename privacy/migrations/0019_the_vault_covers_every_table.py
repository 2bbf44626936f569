"""The vault's head and people's rows are sealed, and events record more kinds of acts.

SQLite rebuilds a table whose constraint changes, without its triggers. So those of the vault's events are created again.
"""

from django.db import migrations, models
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



class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0018_an_erasure_is_remembered'),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, guard),
        migrations.RemoveConstraint(
            model_name='vaultevent',
            name='vault_kind_known',
        ),
        migrations.AddField(
            model_name='person',
            name='seal',
            field=models.CharField(blank=True, db_default='', default='', help_text='Keyed digest of this row, for the Trust Vault.', max_length=64),
        ),
        migrations.AddField(
            model_name='vaulthead',
            name='seal',
            field=models.CharField(blank=True, db_default='', default='', help_text='Keyed digest of number and hash.', max_length=64),
        ),
        migrations.AlterField(
            model_name='vaultevent',
            name='kind',
            field=models.CharField(choices=[('release', 'release'), ('consent', 'consent'), ('decisions', 'decisions'), ('deployment', 'deployment'), ('rollback', 'rollback'), ('budget', 'budget change'), ('erasure', 'erasure'), ('import', 'import'), ('rows', 'imported rows'), ('outcomes', 'outcomes'), ('version', 'model version'), ('slot', 'slot'), ('expiry', 'expiry'), ('adoption', 'adoption'), ('turn', 'turn')], max_length=12),
        ),
        migrations.AddConstraint(
            model_name='vaultevent',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['release', 'consent', 'decisions', 'deployment', 'rollback', 'budget', 'erasure', 'import', 'rows', 'outcomes', 'version', 'slot', 'expiry', 'adoption', 'turn'])), name='vault_kind_known'),
        ),
        migrations.RunPython(guard, migrations.RunPython.noop),
    ]
