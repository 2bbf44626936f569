"""The names of rollout strategies come from their registry, so that a new one needs no migration. The table stays as it is."""

from django.db import migrations, models

from deployments.engine.rollouts.strategies import strategy_choices


class Migration(migrations.Migration):
    dependencies = [("deployments", "0008_slot_without_mode")]
    operations = [
        migrations.AlterField("deployment", "strategy", models.CharField(choices=strategy_choices, max_length=20)),
    ]
