"""Job handlers of a turn's stages, and beat tasks that start and settle turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import shared_task

from core.durations import HOUR
from jobs.handlers import JobContext, handler
from jobs.models import Job
from jobs.queues import PRIVACY
from jobs.schedules import schedule
from r3al_project.turns.models import Turn
from r3al_project.turns.services import reservations_sweep, stage_finish, turns_due, turns_settle
from r3al_project.turns.stage_protocol import Stage
from r3al_project.turns.stages import STAGES


def stage_register(stage: Stage) -> None:
    """Register the stage's function as the handler of its jobs."""

    @handler(stage.job_kind, queue=stage.queue)
    def run(context: JobContext) -> Callable[[], dict[str, Any]]:
        turn = Turn.objects.select_related("loop_version__loop").get(pk=context.arguments["turn"])
        write = STAGES[stage.name].run(turn, context)
        return lambda: stage_finish(turn=turn, name=stage.name, job=Job.objects.get(pk=context.job_id), write=write)


for _stage in STAGES.values():
    stage_register(_stage)


@shared_task(name="turns.settle", ignore_result=True)
def settle() -> None:
    """Settle turns whose job failed or was cancelled."""
    turns_settle()


@shared_task(name="turns.start_due", ignore_result=True)
def start_due() -> None:
    """Start the turns that are due by their loops' schedules."""
    turns_due()


@shared_task(name="turns.settle_reservations", ignore_result=True)
def settle_reservations() -> None:
    """Refund people who were charged for abandoned releases."""
    reservations_sweep()


schedule("releases: give back what nobody will finish", task="turns.settle_reservations", seconds=HOUR, queue=PRIVACY)
schedule("turns: begin those that are due", task="turns.start_due", seconds=HOUR)
schedule("turns: settle those whose job failed", task="turns.settle", seconds=15)
