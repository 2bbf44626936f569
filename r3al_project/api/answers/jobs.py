"""Build answers about jobs and turns."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework import serializers

from jobs.models import OPEN_STATES, Job, JobState
from r3al_project.api.answers.shape import Answer, Shape, nullable_number
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.stages import STAGE_NAMES, STAGES, stage_sentence, versions_trained


class StageAnswer(Shape):
    name = serializers.ChoiceField(choices=STAGE_NAMES)
    status = serializers.ChoiceField(choices=JobState.choices)
    seconds = nullable_number()
    did = serializers.CharField(help_text="The result of the stage, in one sentence. Empty until it has ended.")


def stage_answer(stage: TurnStage) -> Answer:
    """Build one stage of a turn."""
    did = stage_sentence(stage.name, stage.summary)
    return {"name": stage.name, "status": stage.job.state, "seconds": stage.seconds, "did": did}


class JobAnswer(Shape):
    """A job. One that belongs to a turn describes the whole turn, from ``turnId`` on. Any other job has ``error``."""

    jobId = serializers.IntegerField()
    kind = serializers.CharField(help_text="turn, or the kind of a job that belongs to no turn.")
    status = serializers.ChoiceField(choices=JobState.choices)
    cancelRequested = serializers.BooleanField(
        help_text="True once somebody has asked to cancel it. It may still be running."
    )
    progress = serializers.FloatField(min_value=0, max_value=1)
    message = serializers.CharField()
    createdAt = serializers.DateTimeField()
    finishedAt = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(required=False, allow_null=True)
    turnId = serializers.IntegerField(required=False)
    outcome = serializers.ChoiceField(choices=Turn.Outcome.choices, required=False)
    reason = serializers.CharField(required=False, allow_null=True)
    stage = serializers.ChoiceField(choices=STAGE_NAMES, required=False, allow_null=True)
    stages = StageAnswer(many=True, required=False)
    versions = serializers.DictField(
        child=serializers.IntegerField(), required=False, help_text="Ids of the trained versions, by head."
    )


def job_answer(job: Job) -> Answer:
    """Build the answer about a job, or about the whole turn that it belongs to."""
    stage: TurnStage | None = getattr(job, "turn_stage", None)
    if stage is not None:
        return {"jobId": job.pk, "kind": "turn"} | _turn(stage.turn)
    return {
        "jobId": job.pk, "kind": job.kind, "status": job.state, "cancelRequested": job.cancel_requested,
        "progress": job.progress, "message": job.message, "error": job.error or None, "createdAt": job.created_at,
        "finishedAt": job.finished_at,
    }  # fmt: skip


def _turn(turn: Turn) -> Answer:
    """Build the part of the answer that describes the turn."""
    stages = list(turn.stages.select_related("job").order_by("id"))
    return _progress(turn, stages) | {
        "turnId": turn.pk,
        "cancelRequested": any(s.job.cancel_requested for s in stages),
        "outcome": turn.outcome,
        "reason": turn.reason or None,
        "stage": stages[-1].name if stages else None,
        "stages": [stage_answer(s) for s in stages],
        "versions": versions_trained(stages),
        "createdAt": turn.created_at,
        "finishedAt": turn.finished_at,
    }


def _progress(turn: Turn, stages: Sequence[TurnStage]) -> Answer:
    """Build a turn's status, its progress over all stages (0 to 1) and the current message."""
    done = sum(s.job.state == "done" for s in stages)
    current = next((s.job for s in stages if s.job.state in OPEN_STATES), None)
    status = {"running": current.state if current else "running", "failed": "failed", "cancelled": "cancelled"}.get(
        turn.outcome, "done"
    )
    return {
        "status": status,
        "progress": (done + (current.progress if current else 0.0)) / len(STAGES),
        "message": current.message if current else "",
    }
