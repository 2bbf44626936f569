"""A turn may end evaluated, and wait for an operator to deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("turns", "0007_names_stay_out_of_permanent_rows")]

    operations = [
        migrations.AlterField(
            model_name="turn",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("running", "running"),
                    ("deployed", "deployed"),
                    ("kept", "kept what serves"),
                    ("waiting", "evaluated, waiting for you"),
                    ("nothing_new", "nothing new"),
                    ("cancelled", "cancelled"),
                    ("failed", "failed"),
                ],
                default="running",
                max_length=12,
            ),
        ),
    ]
