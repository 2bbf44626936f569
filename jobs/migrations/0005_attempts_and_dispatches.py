"""Columns take the field's terms: attempts, dispatches, lease_token. Constraints that name them are taken off and put back."""

from django.db import migrations, models
from django.db.models import F, Q

_BEFORE = ("job_starts_bounded", "job_lease_while_running", "job_started_has_time", "job_result_when_done")
_RENAMED = (
    ("starts", "attempts"),
    ("max_starts", "max_attempts"),
    ("rung_at", "dispatched_at"),
    ("rings", "dispatches"),
    ("token", "lease_token"),
)
_AFTER = (
    models.CheckConstraint(
        condition=Q(max_attempts__gte=1, attempts__lte=F("max_attempts")), name="job_attempts_bounded"
    ),
    models.CheckConstraint(
        condition=Q(state="running", lease_until__isnull=False) & ~Q(lease_token="")
        | ~Q(state="running") & Q(lease_until__isnull=True, lease_token=""),
        name="job_lease_while_running",
    ),
    models.CheckConstraint(
        condition=Q(attempts=0, started_at__isnull=True) | Q(attempts__gt=0, started_at__isnull=False),
        name="job_started_has_time",
    ),
    models.CheckConstraint(
        condition=Q(state="done", result__isnull=False, progress=1, attempts__gt=0)
        | ~Q(state="done") & Q(result__isnull=True),
        name="job_result_when_done",
    ),
)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_kept_answers_hold_no_secret")]

    operations = [
        *(migrations.RemoveConstraint(model_name="job", name=name) for name in _BEFORE),
        *(migrations.RenameField(model_name="job", old_name=old, new_name=new) for old, new in _RENAMED),
        *(migrations.AddConstraint(model_name="job", constraint=constraint) for constraint in _AFTER),
        migrations.AlterField("job", "dispatched_at", models.DateTimeField(
            blank=True, help_text="When the workers were last told of it.", null=True,
        )),
        migrations.AlterField("job", "dispatches", models.PositiveIntegerField(
            default=0, help_text="How often the workers were told since it was last queued.",
        )),
    ]
