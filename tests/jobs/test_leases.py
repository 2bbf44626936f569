"""Any order of claims, beats, ends, expiries and cancels leaves the row as a plain model says; only the holder ever writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobs import leases
from jobs.leases import JobCancelled, LeaseLost
from jobs.models import Job, JobState
from jobs.services import job_cancel, jobs_reconcile
from tests.factories.leases import lease_ends

MAX_STARTS = 3


class JobMachine(RuleBasedStateMachine):
    """The job row beside a model in plain Python. ``tokens`` are all that were ever given out: most are zombies'."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.holder, self.attempts = "queued", "", 0
        self.asked = self.late = False
        self.tokens = ["never given"]

    @initialize()
    def enqueue(self) -> None:
        self.pk = Job.objects.create(kind="test.effect", max_attempts=MAX_STARTS).pk

    def teardown(self) -> None:
        Job.objects.all().delete()

    @rule()
    def claim(self) -> None:
        free = self.state == "queued" or (self.state == "running" and self.late)
        allowed = free and self.attempts < MAX_STARTS and not self.asked
        job = leases.claim(self.pk)
        assert (job is not None) == allowed
        if job is not None:
            assert job.lease_token not in self.tokens
            self.tokens.append(job.lease_token)
            self.state, self.holder, self.late, self.attempts = "running", job.lease_token, False, self.attempts + 1

    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(self.tokens))
        try:
            leases.extend(self.pk, token, progress=0.5)
            assert self.holds(token) and not self.asked
            self.late = False
        except LeaseLost:
            assert not self.holds(token)
        except JobCancelled:
            assert self.holds(token) and self.asked

    @rule(data=st.data(), state=st.sampled_from(["done", "failed", "cancelled"]))
    def finish(self, data: st.DataObject, state: str) -> None:
        token = data.draw(st.sampled_from(self.tokens))
        if state == "cancelled" and not self.asked:
            return
        told: dict[str, dict[str, Any]] = {"done": {"result": {}}, "failed": {"error": "no rows"}}
        values = told.get(state, {})
        assert leases.finish(self.pk, token, JobState(state), **values) == self.holds(token)
        if self.holds(token):
            self.state, self.holder = state, ""

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(self.tokens))
        assert leases.requeue_mine(self.pk, token, "it broke") == self.holds(token)
        if self.holds(token):
            self.put_down()

    @precondition(lambda self: self.state == "running")
    @rule()
    def time_passes(self) -> None:
        lease_ends(self.pk)
        self.late = True

    @rule()
    def cancel(self) -> None:
        job_cancel(actor="ann", job_id=self.pk)
        self.asked |= self.state in ("queued", "running")
        self.state = "cancelled" if self.state == "queued" else self.state

    @rule()
    def reconcile(self) -> None:
        jobs_reconcile()
        if self.state == "running" and self.late:
            self.put_down()

    def holds(self, token: str) -> bool:
        return self.state == "running" and token == self.holder

    def put_down(self) -> None:
        self.holder = ""
        self.state = "cancelled" if self.asked else "failed" if self.attempts == MAX_STARTS else "queued"

    @invariant()
    def the_row_is_as_the_model(self) -> None:
        job = Job.objects.filter(kind="test.effect").first()
        if job is not None:
            row = (job.state, job.lease_token, job.attempts, job.cancel_requested)
            assert row == (self.state, self.holder, self.attempts, self.asked)


@pytest.mark.django_db
def test_the_row_follows_the_model_in_any_order() -> None:
    run_state_machine_as_test(
        JobMachine, settings=settings(max_examples=40, stateful_step_count=20, deadline=None, derandomize=True)
    )
