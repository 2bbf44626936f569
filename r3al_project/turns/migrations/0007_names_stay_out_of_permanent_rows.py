"""Turns that are over forget the path of their file and the reason for importing it, and so do the records of their stages."""

from typing import Any

from django.db import migrations

FORGOTTEN = ("source", "override_propensities")
NAMES = ("file", "override")


def forget(apps: Any, editor: Any) -> None:
    turns, stages = apps.get_model("turns", "Turn"), apps.get_model("turns", "TurnStage")
    for turn in turns.objects.exclude(outcome="running").iterator():
        kept = {name: value for name, value in turn.parameters.items() if name not in FORGOTTEN}
        if kept != turn.parameters:
            turns.objects.filter(pk=turn.pk).update(parameters=kept)
    for stage in stages.objects.filter(name="collect").select_related("job").iterator():
        stages.objects.filter(pk=stage.pk).update(summary=without_names(stage.summary))
        if stage.job.result is not None:
            type(stage.job).objects.filter(pk=stage.job_id).update(result=without_names(stage.job.result))


def without_names(summary: dict[str, Any]) -> dict[str, Any]:
    """The name of the file of rejected rows was made of the file's own."""
    kept = {name: value for name, value in summary.items() if name not in NAMES}
    return kept | ({"rejects_file": None} if kept.get("rejects_file") else {})


class Migration(migrations.Migration):

    dependencies = [
        ('turns', '0006_who_started_and_how_it_ended'),
        ('jobs', '0006_who_cancelled'),
    ]

    operations = [migrations.RunPython(forget, migrations.RunPython.noop)]
