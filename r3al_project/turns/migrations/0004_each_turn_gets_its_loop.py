from django.db import migrations, models
from django.db.models import OuterRef, Subquery
from django.utils import timezone


def fill(apps, schema_editor):
    """Every turn's loop is its loop version's. Where versions of one loop had a running turn each, the newest goes on."""
    turns, jobs, versions = (
        apps.get_model("turns", "Turn"), apps.get_model("jobs", "Job"), apps.get_model("loops", "LoopVersion")
    )
    turns.objects.update(loop_id=Subquery(versions.objects.filter(pk=OuterRef("loop_version_id")).values("loop_id")))
    running = turns.objects.filter(outcome="running")
    newest = list(running.values("loop").annotate(last=models.Max("pk")).values_list("last", flat=True))
    older = list(running.exclude(pk__in=newest).values_list("pk", flat=True))
    held = jobs.objects.filter(turn_stage__turn__in=older)
    held.filter(state="queued").update(cancel_requested=True, state="cancelled", finished_at=timezone.now())
    held.filter(state="running").update(cancel_requested=True)
    turns.objects.filter(pk__in=older).update(
        outcome="failed", finished_at=timezone.now(), reason="a newer turn of another version of this loop was running too"
    )


class Migration(migrations.Migration):

    dependencies = [
        ("turns", "0003_turns_know_their_loop"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
