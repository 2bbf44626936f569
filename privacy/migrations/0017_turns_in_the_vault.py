"""The Trust Vault records turns.

SQLite rebuilds a table whose constraint changes, without its triggers. So those of the vault's events are created again.
"""

from django.db import migrations, models

from privacy.migrations._vault_guard import guard


class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0016_releases_end_and_outcomes_say_whether_they_hold_a_reward'),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, guard),
        migrations.RemoveConstraint(
            model_name='vaultevent',
            name='vault_kind_known',
        ),
        migrations.AlterField(
            model_name='vaultevent',
            name='kind',
            field=models.CharField(choices=[('release', 'release'), ('consent', 'consent'), ('decisions', 'decisions'), ('deployment', 'deployment'), ('rollback', 'rollback'), ('budget', 'budget change'), ('erasure', 'erasure'), ('import', 'import'), ('turn', 'turn')], max_length=12),
        ),
        migrations.AddConstraint(
            model_name='vaultevent',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['release', 'consent', 'decisions', 'deployment', 'rollback', 'budget', 'erasure', 'import', 'turn'])), name='vault_kind_known'),
        ),
        migrations.RunPython(guard, migrations.RunPython.noop),
    ]
