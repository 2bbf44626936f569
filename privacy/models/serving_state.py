"""Serving states: the sealed values that serving keeps of a person in a loop between decisions."""

from __future__ import annotations

from django.db import models

from loops.models import Loop
from privacy.models.person import Person


class ServingState(models.Model):
    """The serving state of one person in one loop. Only a conditional UPDATE on ``version`` changes it.

    ``memory`` (privacy.engine.serving_state) is sealed with the person's data key. It holds the newest known value of each
    feature, and the state at the last decision, from which known dynamics advance. It is empty before the first signal or
    decision.
    """

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="serving_states")
    loop = models.ForeignKey(Loop, on_delete=models.CASCADE, related_name="serving_states")
    memory = models.BinaryField(default=b"", help_text="float64, little-endian; sealed.")
    observed_at = models.DateTimeField(
        null=True, blank=True, help_text="Time of the newest signal or context in ``memory``."
    )
    local_day = models.DateField(null=True, blank=True, help_text="The person's calendar day of the last decision.")
    interventions_today = models.PositiveSmallIntegerField(default=0)
    last_intervened = models.BooleanField(default=False, help_text="Whether the last decision was an intervention.")
    last_intervention_at = models.DateTimeField(null=True, blank=True)
    last_decision_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "serving_states"
        constraints = [models.UniqueConstraint(fields=["person", "loop"], name="serving_state_once")]

    def __str__(self) -> str:
        return f"serving state of person {self.person_id}"
