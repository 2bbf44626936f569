"""A job in one process: how it is queued, how it ends, what is written."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, transaction

from core.errors import InputError, KeyReused, NotFound
from jobs import leases
from jobs.models import Job
from jobs.selectors import job_get
from jobs.services import job_cancel, job_enqueue, job_run, jobs_reconcile
from tests.factories.job_kinds import effects
from tests.factories.leases import lease_ends

pytestmark = pytest.mark.django_db


def enqueue(kind: str, **arguments: Any) -> Job:
    return job_enqueue(kind=kind, arguments=arguments)


def ran(job: Job) -> Job:
    job_run(job.pk)
    job.refresh_from_db()
    return job


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was handed to the broker's client. (That messages reach workers is in test_workers.)"""
    rung: list[dict[str, Any]] = []
    monkeypatch.setattr("celery.current_app.send_task", lambda name, **options: rung.append(options))
    return rung


class TestEnqueue:
    def test_the_bell_rings_once_when_the_caller_commits(
        self, messages: list[dict[str, Any]], django_capture_on_commit_callbacks: Any
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            job = enqueue("turn.train", turn=1)
            assert messages == []
        assert [(b["args"], b["queue"], b["time_limit"]) for b in messages] == [((job.pk,), "train", 3660)]
        assert job_get(job_id=job.pk).dispatches == 1

    def test_what_the_caller_rolls_back_was_never_queued(self, messages: list[dict[str, Any]]) -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            enqueue("test.effect")
            raise RuntimeError
        assert not Job.objects.exists() and messages == []

    def test_a_key_names_one_job_for_ever(self) -> None:
        first = ran(job_enqueue(kind="test.steps", arguments={"seconds": 0}, key="k"))
        again = job_enqueue(kind="test.steps", arguments={"seconds": 0}, key="k")
        assert (again.pk, again.state) == (first.pk, "done")

    def test_a_key_of_something_else_is_refused(self) -> None:
        job_enqueue(kind="test.steps", arguments={"seconds": 0}, key="k")
        for kind, arguments in (("test.effect", {"seconds": 0}), ("test.steps", {"seconds": 1})):
            with pytest.raises(KeyReused, match="the key 'k' belongs to job"):
                job_enqueue(kind=kind, arguments=arguments, key="k")

    @pytest.mark.parametrize(
        ("kind", "arguments", "key", "text"),
        [
            ("test.nothing", {}, None, "no handler is registered for jobs of kind 'test.nothing'"),
            ("test.effect", {"rows": [1, 2]}, None, "argument 'rows' of a 'test.effect' job is a list"),
            ("test.effect", {"share": float("nan")}, None, "not all JSON values"),
            ("test.effect", {"who": b"x"}, None, "not all JSON values"),
            ("test.effect", {}, "", "the key of a 'test.effect' job is empty"),
        ],
    )
    def test_a_wrong_call_is_refused(self, kind: str, arguments: Any, key: str | None, text: str) -> None:
        with pytest.raises(InputError, match=text):
            job_enqueue(kind=kind, arguments=arguments, key=key)
        assert not Job.objects.exists()


class TestRun:
    def test_a_job_ends_with_its_writes_and_its_result(self) -> None:
        job = ran(enqueue("test.steps", seconds=0))
        assert (job.state, job.result, job.progress, job.attempts) == ("done", {"pid": os.getpid()}, 1.0, 1)
        assert (job.lease_token, job.lease_until, job.error, effects()) == ("", None, "", 1)
        assert job.seconds is not None and 0 <= job.seconds < 5

    def test_a_job_that_is_over_is_not_run_again(self) -> None:
        job = ran(ran(enqueue("test.steps", seconds=0)))
        assert (job.attempts, effects()) == (1, 1)

    def test_an_expected_failure_fails_with_its_sentence_at_once(self) -> None:
        job = ran(enqueue("test.refuses"))
        assert (job.state, job.error, job.attempts) == ("failed", "the file is empty; give one with rows", 1)

    def test_a_failure_in_the_write_leaves_nothing_of_it(self) -> None:
        job = ran(enqueue("test.refuses_to_write"))
        assert (job.state, job.error, effects()) == ("failed", "the slot is taken; free it first", 0)

    def test_a_fault_is_tried_again_and_may_pass(self) -> None:
        job = ran(enqueue("test.breaks", works_at=2))
        assert (job.state, job.attempts, job.dispatches) == ("queued", 1, 0)
        assert (ran(job).state, job.attempts, job.error) == ("done", 2, "")

    def test_a_fault_that_stays_fails_at_the_bound_and_tells_no_values(self, caplog: pytest.LogCaptureFixture) -> None:
        job = enqueue("test.breaks_writing", divisor=0)
        with caplog.at_level(logging.ERROR):
            for _ in range(7):
                ran(job)
        expected = "an unexpected ZeroDivisionError; the log of the process that ran it has the details (start 5 of 5)"
        assert (job.state, job.attempts, job.error, effects()) == ("failed", 5, expected, 0)
        assert any(record.exc_info for record in caplog.records)

    def test_the_text_of_a_fault_stays_out_of_the_row(self) -> None:
        assert "anna" not in ran(enqueue("test.breaks")).error

    def test_a_worker_of_another_version_leaves_the_job_to_others(self) -> None:
        job = Job.objects.create(kind="test.of_tomorrow")
        assert (ran(job).state, job.attempts) == ("queued", 1)
        assert "update the workers" in job.error

    def test_a_database_that_is_away_when_a_job_breaks_costs_one_lease(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_: Any) -> bool:
            raise OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(leases, "requeue_mine", away)
        job = ran(enqueue("test.breaks"))
        assert (job.state, leases.claim(job.pk)) == ("running", None)


class TestZombie:
    def test_who_was_taken_over_writes_nothing(self) -> None:
        """A second start begins and ends between the first one's computing and its write."""
        job = ran(enqueue("test.overtaken"))
        assert (job.state, job.attempts, effects()) == ("done", 2, 1)

    def test_who_is_taken_over_while_writing_rolls_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leases, "finish", lambda *_, **__: False)
        job = ran(enqueue("test.steps", seconds=0))
        assert (job.state, effects()) == ("running", 0)


class TestCancel:
    def test_a_queued_job_ends_at_once_and_never_runs(self) -> None:
        job = enqueue("test.steps", seconds=0)
        job_cancel(actor="ann", job_id=job.pk)
        assert (ran(job).state, job.attempts, effects()) == ("cancelled", 0, 0)

    def test_a_running_job_ends_unwritten_even_when_it_reports_nothing_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = enqueue("test.steps", seconds=0)
        claim = leases.claim

        def claim_and_cancel(job_id: int) -> Job | None:
            claimed = claim(job_id)
            job_cancel(actor="ann", job_id=job_id)
            return claimed

        monkeypatch.setattr(leases, "claim", claim_and_cancel)
        assert (ran(job).state, job.error, effects()) == ("cancelled", "", 0)

    def test_a_broken_job_that_shall_end_is_not_tried_again(self) -> None:
        job = leases.claim(enqueue("test.effect").pk)
        assert job is not None
        job_cancel(actor="ann", job_id=job.pk)
        leases.requeue_mine(job.pk, job.lease_token, "it broke")
        assert job_get(job_id=job.pk).state == "cancelled"

    def test_a_job_that_is_over_stays_as_it_is(self) -> None:
        job = ran(enqueue("test.steps", seconds=0))
        job_cancel(actor="ann", job_id=job.pk)
        assert (job_get(job_id=job.pk).state, job_get(job_id=job.pk).cancel_requested) == ("done", False)

    def test_a_job_that_is_not_there_is_said_so(self) -> None:
        with pytest.raises(NotFound, match="there is no job 404"):
            job_cancel(actor="ann", job_id=404)


class TestReconcile:
    def test_a_job_that_was_never_dispatched_is_dispatched(self, messages: list[dict[str, Any]]) -> None:
        job = enqueue("test.effect")
        assert (jobs_reconcile(), [b["args"] for b in messages]) == (1, [(job.pk,)])

    def test_bells_get_rarer_while_a_job_waits(self, messages: list[dict[str, Any]], settings: Any) -> None:
        """Grace 30 s: the next message is due 30, 60, 120, 240 and again 240 s after the last."""
        settings.R3AL_JOB_GRACE_SECONDS = 30.0
        job = enqueue("test.effect")
        for rings, wait in ((1, 30), (2, 60), (3, 120), (4, 240), (5, 240), (400, 240)):
            Job.objects.filter(pk=job.pk).update(dispatches=rings, dispatched_at=leases.from_now(1 - wait))
            assert jobs_reconcile() == 0, rings
            Job.objects.filter(pk=job.pk).update(dispatched_at=leases.from_now(-1 - wait))
            assert jobs_reconcile() == 1, rings

    def test_what_a_vanished_worker_held_goes_back_with_the_reason(self, messages: list[dict[str, Any]]) -> None:
        job = leases.claim(enqueue("test.effect").pk)
        assert job is not None and jobs_reconcile() == 0
        lease_ends(job.pk)
        assert (jobs_reconcile(), len(messages)) == (1, 1)
        job.refresh_from_db()
        assert (job.state, job.error) == ("queued", "its worker vanished (start 1 of 5)")

    def test_starts_are_bounded(self, messages: list[dict[str, Any]]) -> None:
        job = enqueue("test.effect")
        for _ in range(7):
            leases.claim(job.pk)
            lease_ends(job.pk)
            jobs_reconcile()
        job.refresh_from_db()
        assert (job.state, job.attempts, job.error) == ("failed", 5, "its worker vanished (start 5 of 5)")

    def test_a_broker_that_is_away_is_asked_once_not_once_a_job(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for _ in range(3):
            enqueue("test.effect")
        asked: list[int] = []

        def away(name: str, **options: Any) -> None:
            asked.append(1)
            raise ConnectionError

        monkeypatch.setattr("celery.current_app.send_task", away)
        assert (jobs_reconcile(), len(asked)) == (0, 1)

    def test_a_kind_of_another_version_does_not_stop_the_others(self, messages: list[dict[str, Any]]) -> None:
        Job.objects.create(kind="test.of_tomorrow")
        enqueue("test.effect")
        assert (jobs_reconcile(), [b["queue"] for b in messages]) == (2, ["default", "default"])


def test_a_job_that_is_not_there() -> None:
    with pytest.raises(NotFound):
        job_get(job_id=404)


def test_knowing_every_kind_loads_nothing_heavy() -> None:
    """The web process queues jobs; what their handlers compute with is loaded by workers."""
    code = (
        "import django, sys; django.setup(); from jobs.handlers import kind_of; print(kind_of('turn.train'))\n"
        "sys.exit(str([m for m in ('scipy', 'opendp', 'sklearn', 'jax') if m in sys.modules] or ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=django_settings.BASE_DIR, capture_output=True, text=True, timeout=60
    )
    assert (done.stderr.strip(), "queue='train'" in done.stdout) == ("", True)
