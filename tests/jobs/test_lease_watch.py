"""On SQLite a lease ends by the watching process's monotonic clock, whatever the machine's clock says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs import lease_watch, leases
from jobs.lease_watch import LeaseWatch
from jobs.models import Job
from jobs.services import job_enqueue, jobs_reconcile

T0 = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Clock]:
    settings.R3AL_JOB_LEASE_SECONDS = 30.0
    clock = Clock()
    monkeypatch.setattr(lease_watch, "time", clock)
    lease_watch.WATCH.since.clear()
    yield clock
    lease_watch.WATCH.since.clear()


def test_a_lease_that_stays_as_it_is_for_as_long_as_it_lasts_is_silent(clock: Clock) -> None:
    watch, lease = LeaseWatch(), (1, "t", T0)
    assert watch.silent([lease]) == []
    clock.now += 29.9
    assert watch.silent([lease]) == []
    clock.now += 0.1
    assert watch.silent([lease]) == [lease]


def test_a_renewal_or_another_holder_begins_anew(clock: Clock) -> None:
    watch = LeaseWatch()
    watch.silent([(1, "t", T0)])
    for lease in ((1, "t", T0 - timedelta(hours=1)), (1, "u", T0)):
        clock.now += 60
        assert watch.silent([lease]) == []


def test_a_lease_that_ended_is_forgotten(clock: Clock) -> None:
    watch = LeaseWatch()
    watch.silent([(1, "t", T0)])
    watch.silent([])
    assert watch.since == {}


@pytest.mark.django_db
def test_a_dead_workers_lease_of_a_clock_that_was_set_back_ends(clock: Clock) -> None:
    """On PostgreSQL too, whose clock is then 25 hours short of the stored expiry."""
    job = leases.claim(job_enqueue(kind="test.effect", arguments={}).pk)
    assert job is not None and job.lease_until is not None
    Job.objects.filter(pk=job.pk).update(lease_until=job.lease_until + timedelta(hours=25))
    assert jobs_reconcile() == 0
    clock.now += 31
    assert jobs_reconcile() == 1


@pytest.mark.embedded
@pytest.mark.django_db
@pytest.mark.parametrize("hours", [-2, 2], ids=["a clock that was set ahead", "a clock that was set back"])
def test_a_clock_that_is_set_neither_takes_a_job_nor_keeps_it(hours: int, clock: Clock) -> None:
    """The machine's clock moves by two hours: the stored expiry is then two hours away, to one side or the other."""
    job = leases.claim(job_enqueue(kind="test.effect", arguments={}).pk)
    assert job is not None and job.lease_until is not None
    Job.objects.filter(pk=job.pk).update(lease_until=job.lease_until + timedelta(hours=hours))
    assert (jobs_reconcile(), leases.claim(job.pk)) == (0, None)
    clock.now += 20
    leases.extend(job.pk, job.lease_token)
    clock.now += 20
    assert (jobs_reconcile(), leases.claim(job.pk)) == (0, None)
    clock.now += 30
    assert jobs_reconcile() == 1
    job.refresh_from_db()
    assert (job.state, job.error) == ("queued", "its worker vanished (start 1 of 5)")
