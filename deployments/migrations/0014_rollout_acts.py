"""Acts on rollouts are stored with who did them and why."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('deployments', '0013_a_shadow_beside_the_stable_version'),
    ]

    operations = [
        migrations.CreateModel(
            name='RolloutAct',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('act', models.CharField(choices=[('advance', 'next stage'), ('ask', 'asks for approval'), ('extend', 'extended'), ('pause', 'paused'), ('resume', 'resumed')], max_length=10)),
                ('stage', models.PositiveSmallIntegerField(help_text='After the act; 0 for the first.')),
                ('share_bp', models.PositiveIntegerField(help_text="The candidate's share of the people after the act, in basis points.")),
                ('actor', models.CharField(blank=True, max_length=150)),
                ('reason', models.TextField(blank=True)),
                ('deployment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='acts', to='deployments.deployment')),
            ],
            options={
                'db_table': 'rollout_acts',
                'indexes': [models.Index(fields=['deployment', '-id'], name='rollout_act_deploym_1cbd44_idx')],
            },
        ),
    ]
