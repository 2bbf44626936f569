"""Work that stopped is told once for each time that it stops."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from jobs.models import PeriodicRun
from jobs.periodic_runs import run_finished, run_watch
from notices.models import Notice
from notices.services.late_work import late_work_notices

pytestmark = pytest.mark.django_db


def test_a_task_that_stopped_is_told_once_and_again_when_it_stops_again() -> None:
    every, _ = IntervalSchedule.objects.get_or_create(every=60, period="seconds")
    PeriodicTask.objects.create(name="n", task="some.task", interval=every)
    run_watch(task="some.task", title="health checks")
    assert late_work_notices() == 0
    PeriodicRun.objects.update(finished_at=timezone.now() - timedelta(hours=1))
    assert late_work_notices() == 1 and late_work_notices() == 0
    notice = Notice.objects.get()
    assert notice.sentence.startswith("Work is late (health checks): it last finished 60 minutes ago")
    assert notice.level == "urgent"
    run_finished("some.task")
    assert late_work_notices() == 0
    PeriodicRun.objects.update(finished_at=timezone.now() - timedelta(hours=2))
    assert late_work_notices() == 1
