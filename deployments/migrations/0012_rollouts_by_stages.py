"""Rollouts have stages, and each of their verdicts is stored with what it used."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('deployments', '0011_incidents_name_who'),
        ('training', '0002_samples_are_states'),
    ]

    operations = [
        migrations.CreateModel(
            name='RolloutCheck',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('generation', models.PositiveIntegerField(help_text='Of the slot, when the check was made.')),
                ('stage', models.PositiveSmallIntegerField()),
                ('closed_weeks', models.PositiveIntegerField(help_text='Whole weeks of the stage of which every outcome is closed.')),
                ('step', models.CharField(help_text='What the verdict says to do.', max_length=10)),
                ('label', models.CharField(blank=True, help_text='What is known of a candidate that is promoted.', max_length=60)),
                ('reasons', models.JSONField(default=list)),
                ('terms', models.JSONField(default=dict)),
                ('facts', models.JSONField(default=dict)),
                ('figures', models.JSONField(default=dict)),
                ('acted', models.BooleanField(default=False, help_text='Whether the tick did what the verdict says.')),
            ],
            options={
                'db_table': 'rollout_checks',
            },
        ),
        migrations.AddField(
            model_name='deployment',
            name='deadline_at',
            field=models.DateTimeField(blank=True, help_text='When a rollout that proved nothing ends, as its terms say.', null=True),
        ),
        migrations.AddField(
            model_name='deployment',
            name='extended',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, help_text='How often the present stage was extended.'),
        ),
        migrations.AddField(
            model_name='deployment',
            name='stage_began_at',
            field=models.DateTimeField(blank=True, help_text='When the present share of the people began. Empty for a full rollout.', null=True),
        ),
        migrations.AddField(
            model_name='deployment',
            name='stage_starts',
            field=models.JSONField(db_default=[], default=list, help_text='The first whole week of each stage, in order; also after a pause.'),
        ),
        migrations.AddField(
            model_name='deployment',
            name='waits_for',
            field=models.CharField(blank=True, choices=[('advance', 'the next stage'), ('promote', 'the promotion')], db_default='', help_text='What an operator is asked to approve.', max_length=10),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.CheckConstraint(condition=models.Q(('waits_for', ''), models.Q(('state__in', ('pending', 'in_progress', 'paused')), ('waits_for__in', ['advance', 'promote'])), _connector='OR'), name='deployment_waits_while_active'),
        ),
        migrations.AddField(
            model_name='rolloutcheck',
            name='deployment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='checks', to='deployments.deployment'),
        ),
        migrations.AddIndex(
            model_name='rolloutcheck',
            index=models.Index(fields=['deployment', '-id'], name='rollout_che_deploym_686fa3_idx'),
        ),
    ]
