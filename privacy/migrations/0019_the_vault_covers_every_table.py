"""The vault's head and people's rows are sealed, and events record more kinds of acts.

SQLite rebuilds a table whose constraint changes, without its triggers. So those of the vault's events are created again.
"""

from django.db import migrations, models

from privacy.migrations._vault_guard import guard


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
