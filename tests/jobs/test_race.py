"""Many threads, each with a connection of its own, want the same thing at the same moment."""

from __future__ import annotations

from functools import partial

import pytest
from django.db import transaction

from jobs import leases
from jobs.models import Job
from jobs.services import job_cancel, job_enqueue, job_run
from tests.factories import job_kinds
from tests.factories.leases import lease_ends
from tests.races import at_once

pytestmark = pytest.mark.django_db(transaction=True)
THREADS, ROUNDS = 6, 5


def test_a_key_makes_one_job_whoever_asks_first() -> None:
    keys = [f"round {number}" for number in range(ROUNDS)]

    def ask(key: str) -> int:
        with transaction.atomic():
            return job_enqueue(kind="test.effect", arguments={"turn": 1}, key=key).pk

    for key in keys:
        assert len(set(at_once(*[partial(ask, key)] * THREADS))) == 1
    assert list(Job.objects.order_by("key").values_list("key", flat=True)) == keys


def test_a_job_is_claimed_by_one() -> None:
    for _ in range(ROUNDS):
        job = job_enqueue(kind="test.effect", arguments={})
        won = [claimed for claimed in at_once(*[partial(leases.claim, job.pk)] * THREADS) if claimed is not None]
        job.refresh_from_db()
        assert [w.lease_token for w in won] == [job.lease_token]
        assert job.attempts == 1


def test_an_expired_job_is_taken_over_by_one() -> None:
    job = job_enqueue(kind="test.effect", arguments={})
    for taken in range(1, 4):
        won = [claimed for claimed in at_once(*[partial(leases.claim, job.pk)] * THREADS) if claimed is not None]
        assert len(won) == 1 and won[0].attempts == taken
        lease_ends(job.pk)


def test_a_cancel_that_races_with_a_start_and_a_fault_is_never_lost() -> None:
    """However they fall: the job never stays open, which reconciling could not end, and never runs on."""
    for _ in range(ROUNDS):
        job = job_enqueue(kind="test.breaks", arguments={"works_at": 2})
        run = partial(job_run, job.pk)
        at_once(run, partial(job_cancel, job_id=job.pk), run)
        run()
        job.refresh_from_db()
        assert job.state in ("cancelled", "done"), job.state
        assert (job.state == "done") == (job_kinds.effects() > 0)
        Job.objects.all().delete()
