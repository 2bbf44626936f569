"""Imports keep what the check of their propensities found, and the Trust Vault records an override.

SQLite rebuilds a table whose constraint changes, without its triggers. So those of the vault's events are created again.
"""

from django.db import migrations, models

from privacy.migrations._vault_guard import guard


class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0014_help_texts'),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, guard),
        migrations.RemoveConstraint(
            model_name='vaultevent',
            name='vault_kind_known',
        ),
        migrations.AddField(
            model_name='signalimport',
            name='override',
            field=models.CharField(blank=True, db_default='', default='', help_text='Reason for importing a file whose propensities its actions refute.', max_length=300),
        ),
        migrations.AddField(
            model_name='signalimport',
            name='propensities',
            field=models.JSONField(default=list, help_text='Mean of 1{a}/p of each head and action, with its interval.'),
        ),
        migrations.AlterField(
            model_name='vaultevent',
            name='kind',
            field=models.CharField(choices=[('release', 'release'), ('consent', 'consent'), ('decisions', 'decisions'), ('deployment', 'deployment'), ('rollback', 'rollback'), ('budget', 'budget change'), ('erasure', 'erasure'), ('import', 'import')], max_length=12),
        ),
        migrations.AddConstraint(
            model_name='vaultevent',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['release', 'consent', 'decisions', 'deployment', 'rollback', 'budget', 'erasure', 'import'])), name='vault_kind_known'),
        ),
        migrations.RunPython(guard, migrations.RunPython.noop),
    ]
