"""Events record webhooks, and a table says since when each master key is in use.

SQLite rebuilds a table whose constraint changes, without its triggers. So those of the vault's events are created again.
"""

from django.db import migrations, models

from privacy.migrations._vault_guard import guard

KINDS = [
    ('release', 'release'), ('consent', 'consent'), ('decisions', 'decisions'), ('deployment', 'deployment'), ('rollback', 'rollback'),
    ('budget', 'budget change'), ('erasure', 'erasure'), ('import', 'import'), ('rows', 'imported rows'), ('outcomes', 'outcomes'),
    ('version', 'model version'), ('slot', 'slot'), ('expiry', 'expiry'), ('adoption', 'adoption'), ('turn', 'turn'),
    ('loop', 'loop'), ('account', 'account of a person'), ('coverage', 'coverage'), ('webhook', 'webhook'),
]  # fmt: skip


class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0026_each_app_lifts_its_own_refusal'),
    ]

    operations = [
        migrations.CreateModel(
            name='MasterKeyVersion',
            fields=[
                ('version', models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ('first_seen_at', models.DateTimeField()),
            ],
            options={'db_table': 'master_key_versions'},
        ),
        migrations.RunPython(migrations.RunPython.noop, guard),
        migrations.RemoveConstraint(
            model_name='vaultevent',
            name='vault_kind_known',
        ),
        migrations.AlterField(
            model_name='vaultevent',
            name='kind',
            field=models.CharField(choices=KINDS, max_length=12),
        ),
        migrations.AddConstraint(
            model_name='vaultevent',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', [kind for kind, _ in KINDS])), name='vault_kind_known'),
        ),
        migrations.RunPython(guard, migrations.RunPython.noop),
    ]
