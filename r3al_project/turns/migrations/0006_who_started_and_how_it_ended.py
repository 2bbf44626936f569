"""Turns name who started them. A cancelled turn is cancelled, not failed."""

from typing import Any

from django.db import migrations, models


def name_cancelled(apps: Any, editor: Any) -> None:
    """Until now a cancelled turn was stored as failed. Its last stage tells."""
    turns = apps.get_model("turns", "Turn").objects
    cancelled = turns.filter(outcome="failed", stages__job__state="cancelled").values("pk")
    turns.filter(pk__in=list(cancelled.values_list("pk", flat=True))).update(outcome="cancelled")


class Migration(migrations.Migration):
    dependencies = [("turns", "0005_one_running_turn_a_loop"), ("jobs", "0006_who_cancelled")]

    operations = [
        migrations.AddField(
            model_name="turn",
            name="actor",
            field=models.CharField(blank=True, help_text="Who started it.", max_length=150),
        ),
        migrations.AlterField(
            model_name="turn",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("running", "running"),
                    ("deployed", "deployed"),
                    ("kept", "kept what serves"),
                    ("nothing_new", "nothing new"),
                    ("cancelled", "cancelled"),
                    ("failed", "failed"),
                ],
                default="running",
                max_length=12,
            ),
        ),
        migrations.RunPython(name_cancelled, migrations.RunPython.noop),
    ]
