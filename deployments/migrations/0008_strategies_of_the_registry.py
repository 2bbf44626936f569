"""The names of rollout strategies come from their registry, so that a new one needs no migration. The tables stay as they are."""

from django.db import migrations, models

from deployments.engine.rollouts.strategies import FULL_ROLLOUT, strategy_choices


class Migration(migrations.Migration):
    dependencies = [("deployments", "0007_plain_texts")]
    operations = [
        migrations.AlterField(
            "servingslot", "mode", models.CharField(choices=strategy_choices, default=FULL_ROLLOUT, max_length=20)
        ),
        migrations.AlterField("deployment", "strategy", models.CharField(choices=strategy_choices, max_length=20)),
    ]
