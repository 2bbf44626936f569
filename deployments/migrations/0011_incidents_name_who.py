"""Incidents name who rolled a version back."""

from typing import Any

from django.db import migrations, models


def name_actors(apps: Any, editor: Any) -> None:
    """The Trust Vault recorded it with each rollback."""
    incidents = apps.get_model("deployments", "Incident").objects
    for body in apps.get_model("privacy", "VaultEvent").objects.filter(kind="rollback").values_list("body", flat=True):
        incidents.filter(pk=body.get("incident")).update(actor=str(body.get("actor", ""))[:150])


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0010_evidence_by_whole_weeks"),
        ("privacy", "0015_imports_check_propensities"),
    ]

    operations = [
        migrations.AddField(
            model_name="incident",
            name="actor",
            field=models.CharField(blank=True, help_text="Who rolled it back.", max_length=150),
        ),
        migrations.RunPython(name_actors, migrations.RunPython.noop),
    ]
