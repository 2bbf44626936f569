"""A synthetic sample is a state with the outcome of every action, and another number of samples is another generation."""

from typing import Any

from django.db import migrations, models


def count_states(apps: Any, editor: Any) -> None:
    """Until now ``sample_count`` held the rows: one for every action of each state."""
    from loops.engine.parse.loop import parse_loop

    jobs = apps.get_model("training", "SyntheticJob").objects.select_related("release__loop_version")
    actions = dict[int, dict[str, int]]()
    for job in jobs.iterator():
        version = job.release.loop_version
        if version.pk not in actions:
            spec = parse_loop(version.source, source="a stored loop")
            actions[version.pk] = {head.name: len(head.actions) for head in spec.heads}
        job.summary = {**job.summary, "rows": job.sample_count}
        job.sample_count //= actions[version.pk].get(job.head, 1)
        job.save(update_fields=["sample_count", "summary"])


class Migration(migrations.Migration):
    dependencies = [
        ("privacy", "0017_turns_in_the_vault"),
        ("training", "0001_initial"),
        ("loops", "0002_version_from_one"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="syntheticjob", name="synthetic_once"),
        migrations.AlterField(
            model_name="syntheticjob",
            name="sample_count",
            field=models.PositiveIntegerField(help_text="Sampled states; each gives one row for every action."),
        ),
        migrations.AddConstraint(
            model_name="syntheticjob",
            constraint=models.UniqueConstraint(
                fields=("release", "head", "generator", "seed", "sample_count"), name="synthetic_once"
            ),
        ),
        migrations.RunPython(count_states, migrations.RunPython.noop),
    ]
