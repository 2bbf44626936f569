"""A table of requests that wait for a second operator, and events that record them.

SQLite rebuilds a table whose constraint changes, without its triggers. So those of the vault's events are created again.
"""

import django.db.models.deletion
from django.db import migrations, models

import privacy.models.approval
from privacy.migrations._vault_guard import guard

KINDS = [
    ('release', 'release'), ('consent', 'consent'), ('decisions', 'decisions'), ('deployment', 'deployment'), ('rollback', 'rollback'),
    ('budget', 'budget change'), ('erasure', 'erasure'), ('import', 'import'), ('rows', 'imported rows'), ('outcomes', 'outcomes'),
    ('version', 'model version'), ('slot', 'slot'), ('expiry', 'expiry'), ('adoption', 'adoption'), ('turn', 'turn'),
    ('loop', 'loop'), ('account', 'account of a person'), ('coverage', 'coverage'), ('webhook', 'webhook'), ('approval', 'approval'),
]  # fmt: skip


class Migration(migrations.Migration):

    dependencies = [
        ('loops', '0003_a_loop_keeps_its_population'),
        ('privacy', '0028_the_apps_own_choices'),
    ]

    operations = [
        migrations.CreateModel(
            name='Approval',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('act', models.CharField(choices=privacy.models.approval._acts, max_length=20)),
                ('door', models.CharField(max_length=20)),
                ('words', models.TextField(help_text="What would be done, in the platform's words.")),
                ('parameters', models.JSONField(default=dict)),
                ('seen', models.JSONField(default=dict)),
                ('reason', models.TextField(blank=True)),
                ('asked_by', models.CharField(max_length=150)),
                ('asked_by_account', models.PositiveBigIntegerField()),
                ('expires_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('waiting', 'waits for a second operator'), ('approved', 'approved'), ('declined', 'declined')], default='waiting', max_length=10)),
                ('decided_by', models.CharField(blank=True, max_length=150)),
                ('decided_by_account', models.PositiveBigIntegerField(blank=True, null=True)),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('decision', models.TextField(blank=True, help_text='Why it was approved or declined.')),
                ('made', models.CharField(blank=True, help_text='The record that the approved act wrote.', max_length=80)),
                ('loop', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approvals', to='loops.loop')),
            ],
            options={
                'db_table': 'approvals',
                'permissions': [('decide_approval', 'Can approve or decline, as the second operator, what another one asked for')],
                'indexes': [models.Index(condition=models.Q(('state', 'waiting')), fields=['loop', '-id'], name='approvals_waiting')],
                'constraints': [
                    models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'approved', 'declined'])), name='approval_state_known'),
                    models.CheckConstraint(condition=models.Q(models.Q(('decided_at__isnull', True), ('decided_by_account__isnull', True), ('state', 'waiting')), models.Q(models.Q(('state', 'waiting'), _negated=True), ('decided_at__isnull', False), ('decided_by_account__isnull', False)), _connector='OR'), name='approval_decided_by_somebody'),
                    models.CheckConstraint(condition=models.Q(models.Q(('state', 'approved'), _negated=True), models.Q(('decided_by_account', models.F('asked_by_account')), _negated=True), _connector='OR'), name='approval_by_another'),
                ],
            },
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
