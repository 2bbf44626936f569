"""Decisions and their outcomes. Payloads are fixed-width arrays, sealed with the person's data key.

Everything else is a typed column.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.model_base import Created
from loops.models import LoopVersion
from privacy.engine.head_choice import OWN_CHOICE
from privacy.models.person import Person
from privacy.models.release import Release


class Decision(Created):
    """One decision point of a person. ``state`` is float64[number of features], in the order of the loop's features.

    ``row_key`` is a keyed digest of the row's identity, so that importing a row twice changes nothing.
    ``dropped_out`` marks the last decision of a person who left the app for good.
    """

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="decisions")
    loop_version = models.ForeignKey(LoopVersion, on_delete=models.PROTECT, related_name="decisions")
    row_key = models.BinaryField(max_length=16)
    decided_at = models.DateTimeField()
    local_day = models.DateField(help_text="The person's calendar day, for rules about the same day.")
    available = models.BooleanField()
    dropped_out = models.BooleanField(default=False)
    state = models.BinaryField(help_text="float64, little-endian; sealed.")

    class Meta:
        db_table = "decisions"
        constraints = [models.UniqueConstraint(fields=["loop_version", "row_key"], name="decision_row_once")]
        indexes = [models.Index(fields=["loop_version", "person", "decided_at"])]

    def __str__(self) -> str:
        return f"decision {self.pk}"


class Choice(models.Model):
    """One head's choice in a decision: action index, propensities, and whether it was drawn for exploration.

    ``propensity`` is conditional on the exploration flag, for training. ``marginal_propensity`` is not, for off-policy
    evaluation. Unavailable decisions were not randomised and have no choice rows. A choice that the app made itself (``fallback``
    "app") has no version and no propensity, because nobody knows how else it could have chosen. No policy learns from it.
    """

    decision = models.ForeignKey(Decision, on_delete=models.CASCADE, related_name="choices")
    head = models.CharField(max_length=20)
    action = models.PositiveSmallIntegerField()
    propensity = models.FloatField(null=True, help_text="Null: the app made the choice itself.")
    marginal_propensity = models.FloatField(null=True, help_text="Null: the app made the choice itself.")
    explored = models.BooleanField(default=True)
    learnable = models.BooleanField(
        default=True,
        db_default=True,
        help_text="False for a fallback, a restricted choice or the app's own: training uses its state but not its action.",
    )
    version = models.BigIntegerField(null=True, blank=True, help_text="Id of the model version that served.")
    generation = models.PositiveIntegerField(null=True, blank=True, help_text="Generation of the slot that served.")
    eligible = models.BigIntegerField(null=True, blank=True, help_text="Bit mask of the allowed actions; null: all.")
    fallback = models.CharField(
        max_length=10,
        blank=True,
        default="",
        db_default="",
        help_text="What answered in place of the deployed policy: stable, reference, or app for the app's own choice.",
    )

    class Meta:
        db_table = "decision_choices"
        constraints = [
            models.UniqueConstraint(fields=["decision", "head"], name="choice_once_a_head"),
            models.CheckConstraint(condition=Q(propensity__gt=0, propensity__lte=1), name="choice_propensity_valid"),
            models.CheckConstraint(
                condition=Q(marginal_propensity__gt=0, marginal_propensity__lte=1), name="choice_marginal_valid"
            ),
            models.CheckConstraint(
                condition=Q(fallback__in=["", "stable", "reference", OWN_CHOICE]), name="choice_fallback_known"
            ),
            models.CheckConstraint(condition=Q(fallback="") | Q(learnable=False), name="choice_fallback_never_learned"),
            models.CheckConstraint(
                condition=Q(
                    fallback=OWN_CHOICE,
                    propensity__isnull=True,
                    marginal_propensity__isnull=True,
                    version__isnull=True,
                    explored=False,
                )
                | ~Q(fallback=OWN_CHOICE) & Q(propensity__isnull=False, marginal_propensity__isnull=False),
                name="choice_of_the_app_has_no_propensity",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.head} of decision {self.decision_id}"


class RewardSignal(Created):
    """The outcome of a decision. ``payload`` is float64[7]: total, then the six components; NaN where not observed.

    ``harmful`` says whether the logged label is harmful under the loop (null: no label was logged).
    ``has_reward`` says in clear whether the sealed total is a number, so that nobody is charged for an outcome without one.
    """

    decision = models.OneToOneField(Decision, on_delete=models.CASCADE, related_name="outcome")
    payload = models.BinaryField(help_text="float64, little-endian; sealed.")
    harmful = models.BooleanField(null=True)
    has_reward = models.BooleanField(null=True, help_text="Whether the total is a number; null: not recorded.")
    closed_at = models.DateTimeField()
    release = models.ForeignKey(
        Release, null=True, blank=True, on_delete=models.PROTECT, related_name="outcomes",
        help_text="Training release that read the outcome. Each outcome is used in one release.",
    )  # fmt: skip

    class Meta:
        db_table = "reward_signals"

    def __str__(self) -> str:
        return f"outcome of decision {self.decision_id}"
