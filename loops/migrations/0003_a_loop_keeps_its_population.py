"""A loop keeps its population. One that declared none had its own name as its population, and keeps it."""

import tomllib
from typing import Any

from django.db import migrations, models


def keep(apps: Any, editor: Any) -> None:
    versions = apps.get_model("loops", "LoopVersion").objects.order_by("version")
    declared = {v.loop_id: tomllib.loads(v.source).get("population") for v in versions.iterator()}
    for loop in apps.get_model("loops", "Loop").objects.all():
        loop.population = declared.get(loop.pk) or loop.name
        loop.save(update_fields=["population"])


class Migration(migrations.Migration):

    dependencies = [
        ('loops', '0002_version_from_one'),
    ]

    operations = [
        migrations.AddField(
            model_name='loop',
            name='population',
            field=models.CharField(db_default='people', default='people', max_length=80),
        ),
        migrations.RunPython(keep, migrations.RunPython.noop),
    ]
