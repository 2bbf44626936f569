"""Schedules are rows that operators own once they are there."""

from __future__ import annotations

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from jobs.schedules import schedules_sync

pytestmark = pytest.mark.django_db


def test_what_is_missing_is_added_once() -> None:
    assert schedules_sync() > 0
    assert schedules_sync() == 0
    reconcile = PeriodicTask.objects.get(task="jobs.reconcile")
    assert (reconcile.interval.every, reconcile.interval.period, reconcile.queue) == (15, "seconds", "monitor")


def test_what_an_operator_changed_stays() -> None:
    schedules_sync()
    slower = IntervalSchedule.objects.create(every=2, period=IntervalSchedule.MINUTES)
    PeriodicTask.objects.filter(task="jobs.reconcile").update(interval=slower, enabled=False)
    schedules_sync()
    reconcile = PeriodicTask.objects.get(task="jobs.reconcile")
    assert (reconcile.interval, reconcile.enabled) == (slower, False)


def test_every_scheduled_task_is_one_that_workers_know() -> None:
    from r3al_project.celery import app

    schedules_sync()
    tasks = set(PeriodicTask.objects.exclude(task__startswith="celery.").values_list("task", flat=True))
    assert tasks <= set(app.tasks)
