"""Turns begun, ended and cancelled by many real processes on one PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

from django.db import connection, transaction

from core.errors import Conflict
from jobs import leases
from jobs.models import OPEN_STATES, Job, JobState
from loops.models import LoopVersion
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.services import stage_finish, turn_cancel, turn_parameters, turn_settle, turn_start
from r3al_project.turns.stages import STAGES
from tests.factories.care import care_loop
from tests.fresh_database import create_tables
from tests.races import in_processes, overtaken, scenarios

ROUNDS = 10


def main() -> dict[str, Any]:
    create_tables()
    return scenarios(
        beginning_at_once,
        cancelled_while_its_stage_ends,
        ending_and_cancelling_at_once,
        given=[care_loop(), care_loop(version=2)],
    )


def begin(version: LoopVersion) -> Turn:
    return turn_start(actor="ann", loop_version=version, parameters=turn_parameters())


def beginning_at_once(versions: list[LoopVersion]) -> dict[str, Any]:
    """Every process begins a turn of the loop, half of them of its older version."""

    def work(process: int) -> Counter[str]:
        try:
            begin(versions[process % 2])
            return Counter(["begun"])
        except Conflict as error:
            return Counter(["refused" if "is still running; wait for it" in str(error) else str(error)])

    outcomes = in_processes(work)
    written = {"turns": Turn.objects.count(), "stages": TurnStage.objects.count(), "jobs": Job.objects.count()}
    turn_cancel(actor="ann", turn=Turn.objects.get(outcome="running"))
    return {"outcomes": outcomes, **written}


def claimed(turn: Turn) -> Job:
    """The job of the turn's stage at hand, held as a worker holds it."""
    job = leases.claim(turn.stages.order_by("-id")[0].job_id)
    assert job is not None
    return job


def stage_end(turn: Turn, job: Job) -> None:
    """What a worker does in the transaction that ends a job."""
    leases.extend(job.pk, job.lease_token)
    name = TurnStage.objects.get(job=job).name
    stage_finish(turn=turn, name=name, job=job, write=lambda: {"deployed": [], "reason": "nothing passed"})
    leases.finish(job.pk, job.lease_token, JobState.DONE, result={})


def cancelled_while_its_stage_ends(versions: list[LoopVersion]) -> dict[str, Any]:
    """A stage's end is written but not committed when somebody cancels: the next stage has to be cancelled."""
    turn = begin(versions[1])
    job = claimed(turn)
    waited, said = overtaken(lambda: stage_end(turn, job), lambda: str(turn_cancel(actor="ann", turn=turn)))
    turn.refresh_from_db()
    stages = list(turn.stages.order_by("id").values_list("name", "job__state"))
    return {"waited": waited, "said": said, "stages": stages, "outcome": turn.outcome}


def ending_and_cancelling_at_once(versions: list[LoopVersion]) -> dict[str, Any]:
    """A worker goes through a turn's stages while somebody cancels it a moment later; over and over."""
    facts = Counter[str]()
    for i in range(ROUNDS):
        turn = begin(versions[1])
        worker = threading.Thread(target=_work, args=(turn,))
        worker.start()
        time.sleep(0.004 * i)
        facts[_cancel(turn)] += 1
        worker.join(20)
        turn = turn_settle(turn=turn)  # beat's part
        facts[f"the turn is {turn.outcome}"] += 1
        facts["open jobs left"] += Job.objects.filter(turn_stage__turn=turn, state__in=OPEN_STATES).count()
    return dict(facts)


def _work(turn: Turn) -> None:
    try:
        for _ in STAGES:
            job = leases.claim(turn.stages.order_by("-id")[0].job_id)
            if job is None:
                return
            try:
                with transaction.atomic():
                    stage_end(turn, job)
            except leases.JobCancelled:
                leases.finish(job.pk, job.lease_token, JobState.CANCELLED)
                return
    finally:
        connection.close()


def _cancel(turn: Turn) -> str:
    try:
        return "cancelled" if turn_cancel(actor="ann", turn=turn).over else "asked to end"
    except Conflict:
        return "was over"
