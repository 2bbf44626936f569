"""The thread beside a handler, on connections of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from jobs import leases
from jobs.models import Job
from jobs.services import job_cancel, job_enqueue, job_run, jobs_reconcile
from tests.factories.job_kinds import effects

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_leases")]


def beside(job: Job, act: Callable[[], Any]) -> Job:
    """Run the job in a thread, ``act`` in this one as soon as it runs; the job afterwards."""

    def work() -> None:
        try:
            job_run(job.pk)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    while Job.objects.get(pk=job.pk).state == "queued":
        time.sleep(0.01)
    act()
    thread.join(30)
    job.refresh_from_db()
    return job


def test_a_job_longer_than_its_lease_stays_its_workers_own() -> None:
    job = job_enqueue(kind="test.steps", arguments={"seconds": 2.0})

    def try_to_take_it() -> None:
        end = time.monotonic() + 1.6
        while time.monotonic() < end:
            assert leases.claim(job.pk) is None
            jobs_reconcile()
            time.sleep(0.05)

    assert (beside(job, try_to_take_it).state, job.attempts, effects()) == ("done", 1, 1)


def test_a_handler_that_never_reports_fails_at_its_time_limit_and_its_write_is_refused() -> None:
    job = job_enqueue(kind="test.silent", arguments={"seconds": 2.5})

    def see_it_fail() -> None:
        time.sleep(1.6)
        assert Job.objects.get(pk=job.pk).state == "failed"  # while it still computes

    assert beside(job, see_it_fail).error == "the job exceeded its time limit of 1 s; its result was not written"
    assert (job.state, job.attempts, effects()) == ("failed", 1, 0)


def test_a_handler_within_its_limit_is_left_alone() -> None:
    job = job_enqueue(kind="test.silent", arguments={"seconds": 0.7})
    assert beside(job, lambda: None).state == "done"


def test_a_running_job_ends_soon_after_it_is_cancelled() -> None:
    job = job_enqueue(kind="test.steps", arguments={"seconds": 20})
    began = time.monotonic()
    beside(job, lambda: job_cancel(actor="ann", job_id=job.pk))
    assert (job.state, job.error, effects()) == ("cancelled", "", 0)
    assert time.monotonic() - began < 5


def test_a_handler_that_lost_its_job_stops_computing() -> None:
    job = job_enqueue(kind="test.steps", arguments={"seconds": 20})
    began = time.monotonic()
    beside(job, lambda: Job.objects.filter(pk=job.pk).update(lease_token="another's"))
    assert (job.state, job.lease_token, effects()) == ("running", "another's", 0)
    assert time.monotonic() - began < 5


def test_a_long_transaction_of_somebody_else_costs_no_lease() -> None:
    """On SQLite beats wait for the lock; on PostgreSQL they do not notice."""
    job = job_enqueue(kind="test.steps", arguments={"seconds": 2.5})

    def write_long() -> None:
        with transaction.atomic():
            Job.objects.create(kind="test.effect")
            time.sleep(1.5)

    assert (beside(job, write_long).state, job.attempts, effects()) == ("done", 1, 2)
