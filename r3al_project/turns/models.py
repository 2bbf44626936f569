"""Turns and their stages. A turn runs a loop through all stages once, each stage as a job."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.model_base import Created
from jobs.models import Job
from loops.engine.spec import BY_HAND
from loops.models import Loop, LoopVersion

START_TURN = "turns.start_turn"


class Turn(Created):
    """One turn of one loop.

    parameters: the requested values (epsilon, delta, seed, source), never records of people.
    loop: repeats the loop of the loop version, so that the database can allow only one running turn per loop.
    """

    class Outcome(models.TextChoices):
        RUNNING = "running", "running"
        DEPLOYED = "deployed", "deployed"
        KEPT = "kept", "kept what serves"
        WAITING = "waiting", "evaluated, waiting for you"
        NOTHING_NEW = "nothing_new", "nothing new"
        CANCELLED = "cancelled", "cancelled"
        FAILED = "failed", "failed"

    loop = models.ForeignKey(Loop, on_delete=models.PROTECT, related_name="turns")
    loop_version = models.ForeignKey(LoopVersion, on_delete=models.PROTECT, related_name="turns")
    parameters = models.JSONField(default=dict)
    actor = models.CharField(max_length=150, blank=True, help_text="Who started it.")
    outcome = models.CharField(max_length=12, choices=Outcome.choices, default=Outcome.RUNNING)
    reason = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "turns"
        permissions = [("start_turn", "Can start a turn of a loop")]
        constraints = [
            models.UniqueConstraint(fields=["loop"], condition=Q(outcome="running"), name="turn_one_running_a_loop"),
            models.CheckConstraint(
                condition=Q(outcome="running", finished_at__isnull=True)
                | ~Q(outcome="running") & Q(finished_at__isnull=False),
                name="turn_finished_has_time",
            ),
        ]

    @property
    def deploys_by_hand(self) -> bool:
        """Tell whether an operator deploys what passes: as the turn was started, or else as the loop declares."""
        mode = self.parameters.get("deploy") or self.loop_version.spec.deploy
        return bool(mode == BY_HAND)

    @property
    def outcome_text(self) -> str:
        """Return the outcome in words for pages and messages."""
        return "kept the incumbent" if self.outcome == self.Outcome.KEPT else str(self.get_outcome_display())

    def __str__(self) -> str:
        return f"turn {self.pk} of {self.loop_version}"


class TurnStage(models.Model):
    """One stage of a turn.

    job: the state, progress and error of the run.
    summary: the result, as the stage's write returned it.
    """

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="stages")
    name = models.CharField(max_length=12)
    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="turn_stage")
    summary = models.JSONField(default=dict)
    seconds = models.FloatField(null=True)

    class Meta:
        db_table = "turn_stages"
        constraints = [models.UniqueConstraint(fields=["turn", "name"], name="turn_stage_once")]

    def __str__(self) -> str:
        return f"{self.name} of turn {self.turn_id}"
