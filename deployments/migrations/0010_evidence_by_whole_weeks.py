"""Evidence is counted by whole weeks. Units of one day a week are dropped; the next check writes new ones from closed outcomes."""

import django.db.models.deletion
from django.db import migrations, models


def drop_units_of_a_day(apps, editor):
    """Each stands for one weekday, and would be taken for a week."""
    apps.get_model("deployments", "EvidenceUnit").objects.all().delete()


class Migration(migrations.Migration):

    dependencies = [
        ('deployments', '0009_strategies_of_the_registry'),
        ('loops', '0002_version_from_one'),
        ('privacy', '0014_help_texts'),
        ('training', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(drop_units_of_a_day, migrations.RunPython.noop),
        migrations.CreateModel(
            name='EvidenceWeek',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('week', models.PositiveIntegerField(help_text='1 for the week that starts with the deployment.')),
                ('closed_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'evidence_weeks',
            },
        ),
        migrations.RemoveConstraint(
            model_name='evidenceunit',
            name='evidence_counts_nest',
        ),
        migrations.AddField(
            model_name='evidenceunit',
            name='answered',
            field=models.PositiveIntegerField(default=0, help_text='Interventions with a label.'),
        ),
        migrations.AddField(
            model_name='servingslot',
            name='rotates',
            field=models.BooleanField(db_default=False, default=False, help_text='Whether the people in the holdback are drawn anew each week.'),
        ),
        migrations.AlterField(
            model_name='evidenceunit',
            name='epoch',
            field=models.PositiveIntegerField(help_text="Number of the deployment's week, or of its first days. A person counts once in it."),
        ),
        migrations.AlterField(
            model_name='healthcheck',
            name='triggers',
            field=models.JSONField(default=list, help_text='Comparisons with the other arm, with log evidence.'),
        ),
        migrations.AddConstraint(
            model_name='evidenceunit',
            constraint=models.CheckConstraint(condition=models.Q(('interventions__lte', models.F('decisions')), ('rated__lte', models.F('interventions')), ('answered__lte', models.F('interventions')), ('harmful__lte', models.F('answered')), ('rewarded__lte', models.F('decisions'))), name='evidence_counts_nest'),
        ),
        migrations.AddConstraint(
            model_name='servingslot',
            constraint=models.CheckConstraint(condition=models.Q(('rotates', False), ('holdback__isnull', False), _connector='OR'), name='slot_rotates_a_holdback'),
        ),
        migrations.AddField(
            model_name='evidenceweek',
            name='deployment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='evidence_weeks', to='deployments.deployment'),
        ),
        migrations.AddConstraint(
            model_name='evidenceweek',
            constraint=models.UniqueConstraint(fields=('deployment', 'week'), name='evidence_week_once'),
        ),
    ]
