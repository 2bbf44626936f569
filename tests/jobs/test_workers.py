"""Real worker processes that are killed, stopped, cancelled and never told: every job ends, once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from jobs.models import Job
from jobs.queues import MONITOR, QUEUES
from jobs.schedules import schedules_sync
from jobs.services import job_cancel, job_enqueue, jobs_reconcile
from r3al_project.processes import commands
from tests.factories.job_kinds import effects
from tests.jobs.conftest import SHORT, JobsWorker
from tests.races import wait_until
from tests.stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)
Workers = Callable[..., JobsWorker]


def state(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def reconciled(job: Job, wanted: str) -> Callable[[], bool]:
    """A condition that plays beat while it is waited for."""

    def holds() -> bool:
        jobs_reconcile()
        return state(job) == wanted

    return holds


def restarted(worker: JobsWorker, holds: Callable[[], bool]) -> Callable[[], bool]:
    """A condition that plays the supervisor while it is waited for."""

    def also_holds() -> bool:
        if not worker.is_running:
            worker.start()
        return holds()

    return also_holds


def pid_of(job: Job) -> int:
    """The process that works at a job, as its message says; 0 before it said so."""
    job.refresh_from_db()
    return int(job.message.removeprefix("pid ") or 0)


def test_a_job_is_done_by_a_worker_with_its_progress_seen(workers: Workers) -> None:
    worker = workers()
    job = job_enqueue(kind="test.steps", arguments={"seconds": 2.2})
    seen: set[float] = set()

    def done() -> bool:
        over = state(job) == "done"
        seen.add(job.progress)
        return over

    worker.wait_until(done)
    assert (job.result, job.attempts, effects()) == ({"pid": worker.pid}, 1, 1)
    assert 3 <= len(seen) <= 6, "progress is written at most once a second"


def test_a_worker_killed_in_the_middle_of_a_job(workers: Workers) -> None:
    worker = workers()
    job = job_enqueue(kind="test.steps", arguments={"seconds": 1.5})
    worker.wait_until(lambda: pid_of(job) == worker.pid)
    worker.kill()
    assert (state(job), effects()) == ("running", 0)
    worker.start()
    worker.wait_until(reconciled(job, "done"))
    assert (job.result, job.attempts) == ({"pid": worker.pid}, 2)
    time.sleep(1.5)  # messages that are left find the job over
    assert (effects(), Job.objects.get(pk=job.pk).attempts) == (1, 2)


def test_a_job_that_kills_its_process_at_every_start_fails_at_the_bound(workers: Workers) -> None:
    worker = workers()
    job = job_enqueue(kind="test.dies", arguments={})
    Job.objects.filter(pk=job.pk).update(max_attempts=2)
    assert wait_until(restarted(worker, reconciled(job, "failed")))
    assert (job.attempts, job.error) == (2, "its worker vanished (start 2 of 2)")
    following = job_enqueue(kind="test.steps", arguments={"seconds": 0})
    assert wait_until(restarted(worker, lambda: state(following) == "done"))
    assert effects() == 1


def test_a_worker_that_hangs_and_comes_back_writes_nothing(workers: Workers, settings: Any) -> None:
    """The whole process stops, heartbeat included, until another worker has taken the job over and ended it."""
    settings.R3AL_JOB_LEASE_SECONDS = 2.0  # of this process, which watches
    slow_beats = {"R3AL_JOB_LEASE_SECONDS": "2", "R3AL_JOB_HEARTBEAT_SECONDS": "1"}  # none while it falls asleep
    both = [workers(**slow_beats), workers(**slow_beats)]
    job = job_enqueue(kind="test.sleepwalks", arguments={})
    both[0].wait_until(lambda: pid_of(job) != 0)
    zombie, other = sorted(both, key=lambda worker: worker.pid != pid_of(job))
    other.wait_until(reconciled(job, "done"))
    assert (job.result, job.attempts, effects()) == ({"pid": other.pid}, 2, 1)
    os.kill(zombie.pid, signal.SIGCONT)
    zombie.wait_until(lambda: "was taken over" in zombie.log.read_text())
    assert (state(job), job.result, effects()) == ("done", {"pid": other.pid}, 1)


@pytest.mark.production
def test_a_worker_that_freezes_with_the_row_locked_does_not_hold_its_successor(workers: Workers, stack: Stack) -> None:
    """PostgreSQL ends the frozen session. Here it waits for two seconds; ``r3al_project.environment`` says a minute."""
    url = f"{stack.database_url}?options=-c%20idle_in_transaction_session_timeout%3D2s"
    both = [workers(DATABASE_URL=url), workers(DATABASE_URL=url)]
    job = job_enqueue(kind="test.freezes_writing", arguments={})
    both[0].wait_until(lambda: pid_of(job) != 0)
    frozen, other = sorted(both, key=lambda worker: worker.pid != pid_of(job))
    other.wait_until(reconciled(job, "done"))
    assert (job.result, job.attempts, effects()) == ({"pid": other.pid}, 2, 1)
    os.kill(frozen.pid, signal.SIGCONT)
    following = [job_enqueue(kind="test.steps", arguments={"seconds": 0.3}) for _ in range(2)]
    frozen.wait_until(lambda: {state(each) for each in following} == {"done"})
    assert (state(job), job.result, effects()) == ("done", {"pid": other.pid}, 3)


def test_a_message_that_the_broker_lost_is_sent_again(workers: Workers, stack: Stack) -> None:
    """Redis: FLUSHDB; folders: the files are gone."""
    job = job_enqueue(kind="test.steps", arguments={"seconds": 0})
    stack.clear_broker()
    worker = workers()
    heard = job_enqueue(kind="test.steps", arguments={"seconds": 0})
    worker.wait_until(lambda: state(heard) == "done")
    assert state(job) == "queued"
    worker.wait_until(reconciled(job, "done"))
    assert (job.attempts, effects()) == (1, 2)


def test_a_running_job_is_cancelled(workers: Workers) -> None:
    worker = workers()
    job = job_enqueue(kind="test.steps", arguments={"seconds": 60})
    worker.wait_until(lambda: pid_of(job) == worker.pid)
    job_cancel(actor="ann", job_id=job.pk)
    worker.wait_until(lambda: state(job) == "cancelled", seconds=5)
    following = job_enqueue(kind="test.steps", arguments={"seconds": 0})
    worker.wait_until(lambda: state(following) == "done")
    assert effects() == 1


def test_beat_rings_for_what_was_never_rung(workers: Workers, stack: Stack) -> None:
    schedules_sync()
    often = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.filter(task="jobs.reconcile").update(interval=often)
    job = Job.objects.create(kind="test.effect")
    worker = workers()
    beat = subprocess.Popen(commands.beat(), env={**stack.environment(), **SHORT}, stderr=subprocess.DEVNULL)
    try:
        worker.wait_until(lambda: state(job) == "done")
    finally:
        beat.kill()
        beat.wait()


def test_what_cannot_wait_does_not_wait_for_long_jobs(workers: Workers) -> None:
    """The queues of the workers that ``serve`` starts, each of which here does one thing at a time."""
    long_jobs = [job_enqueue(kind="test.steps", arguments={"seconds": 60}) for _ in range(2)]
    watch, others = (MONITOR,), tuple(q for q in QUEUES if q != MONITOR)
    worker = workers(queues=others)
    worker.wait_until(lambda: "running" in [state(job) for job in long_jobs])
    due = job_enqueue(kind="test.watches", arguments={})
    workers(queues=watch).wait_until(lambda: state(due) == "done")
    assert sorted(state(job) for job in long_jobs) == ["queued", "running"]
