"""Define serving slots, which hold the deployed version of each head, and the history of deployments."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from core.model_base import Created
from deployments.engine.rollouts.strategies import BESIDE, strategy_choices
from deployments.engine.rollouts.transitions import ACTIVE_STATES, TRANSITIONS
from deployments.engine.traffic_shares import BASIS_POINTS
from loops.models import Loop
from training.models import ModelVersion, version_name


class DeploymentState(models.TextChoices):
    PENDING = "pending", "pending"
    IN_PROGRESS = "in_progress", "in progress"
    PAUSED = "paused", "paused"
    SUCCEEDED = "succeeded", "succeeded"
    ROLLED_BACK = "rolled_back", "rolled back"
    ABORTED = "aborted", "aborted"
    FAILED = "failed", "failed"


assert set(DeploymentState.values) == set(TRANSITIONS)


class ServingSlot(models.Model):
    """Store the deployed versions of one head of one loop.

    ``stable`` is never null, so a head always has a deployed version. ``generation`` counts changes, and every change is a
    conditional UPDATE on it. ``weight_bp`` is the candidate's traffic in basis points. ``salt`` fixes the assignment of people to
    arms. ``holdback`` is the version before, which still serves ``holdback_bp`` of the people as a comparison group.
    With ``rotates`` these people are drawn anew in each week of the deployment. ``exploration_bp`` is the share of decisions that
    are drawn from the loop's logging distribution. ``shadow`` decides beside the others, and nobody gets its actions.
    With ``app_chooses`` the app's own choices are served meanwhile, where it sends them.
    """

    loop = models.ForeignKey(Loop, on_delete=models.PROTECT, related_name="slots")
    head = models.CharField(max_length=20)
    stable = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="stable_in")
    candidate = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="candidate_in"
    )
    weight_bp = models.PositiveIntegerField(default=0)
    holdback = models.ForeignKey(
        ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="holdback_in"
    )
    holdback_bp = models.PositiveIntegerField(default=0)
    rotates = models.BooleanField(
        default=False, db_default=False, help_text="Whether the people in the holdback are drawn anew each week."
    )
    shadow = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="shadow_in")
    app_chooses = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether the app's own choices are served, and the shadow is compared with them.",
    )
    exploration_bp = models.PositiveIntegerField(default=1_000)
    salt = models.CharField(max_length=32)
    generation = models.PositiveIntegerField(default=1)

    class Meta:
        db_table = "serving_slots"
        permissions = [
            ("deploy_version", "Can deploy a version that passed its evaluation"),
            (
                "override_comparison",
                "Can deploy, with a reason, a version that was judged against another policy than the deployed one",
            ),
            ("rollback_version", "Can roll back a deployed version"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["loop", "head"], name="slot_once_a_head"),
            models.CheckConstraint(condition=Q(weight_bp__lte=BASIS_POINTS), name="slot_weight_in_range"),
            models.CheckConstraint(condition=Q(exploration_bp__lte=BASIS_POINTS), name="slot_exploration_in_range"),
            models.CheckConstraint(
                condition=Q(holdback__isnull=True, holdback_bp=0)
                | Q(holdback__isnull=False, holdback_bp__gt=0, holdback_bp__lte=5_000) & ~Q(holdback=F("stable")),
                name="slot_holdback_consistent",
            ),
            models.CheckConstraint(
                condition=Q(rotates=False) | Q(holdback__isnull=False), name="slot_rotates_a_holdback"
            ),
            models.CheckConstraint(
                condition=Q(candidate__isnull=True, weight_bp=0)
                | Q(candidate__isnull=False) & ~Q(candidate=F("stable")),
                name="slot_candidate_consistent",
            ),
            models.CheckConstraint(
                condition=Q(shadow__isnull=True) | Q(candidate__isnull=True) & ~Q(shadow=F("stable")),
                name="slot_shadow_consistent",
            ),
            models.CheckConstraint(
                condition=Q(app_chooses=False) | Q(shadow__isnull=False), name="slot_app_chooses_beside_a_shadow"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.loop.name}/{self.head}"


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    def of_people(self) -> DeploymentQuerySet:
        """Return the deployments that gave people a version. One that decides beside others gives nobody any."""
        return self.exclude(strategy__in=BESIDE)


class Deployment(Created):
    """Store one deployment of a version, by a rollout or by a rollback (table ``deployment_history``)."""

    slot = models.ForeignKey(ServingSlot, on_delete=models.PROTECT, related_name="deployments")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="deployments")
    previous = models.ForeignKey(ModelVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    strategy = models.CharField(max_length=20, choices=strategy_choices)
    state = models.CharField(max_length=12, choices=DeploymentState.choices, default=DeploymentState.PENDING)
    stage = models.PositiveSmallIntegerField(default=0)
    stage_began_at = models.DateTimeField(
        null=True, blank=True, help_text="When the present share of the people began. Empty for a full rollout."
    )
    stage_starts = models.JSONField(
        default=list, db_default=[], help_text="The first whole week of each stage, in order; also after a pause."
    )
    extended = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="How often the present stage was extended."
    )
    waits_for = models.CharField(
        max_length=10,
        blank=True,
        db_default="",
        choices=[("advance", "the next stage"), ("promote", "the promotion")],
        help_text="What an operator is asked to approve.",
    )
    deadline_at = models.DateTimeField(
        null=True, blank=True, help_text="When a rollout that proved nothing ends, as its terms say."
    )
    frozen_policy = models.JSONField(default=dict, help_text="Thresholds when the deployment started.")
    harmful = models.BooleanField(default=False, help_text="Rolled back for harm. No rollback returns to this version.")
    rollback_of = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="rolled_back_by"
    )
    reason = models.TextField(blank=True)
    actor = models.CharField(max_length=150, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        db_table = "deployment_history"
        constraints = [
            models.UniqueConstraint(
                fields=["slot"], condition=Q(state__in=ACTIVE_STATES), name="deployment_one_active_a_slot"
            ),
            models.CheckConstraint(condition=Q(state__in=DeploymentState.values), name="deployment_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=ACTIVE_STATES, finished_at__isnull=True)
                | ~Q(state__in=ACTIVE_STATES) & Q(finished_at__isnull=False),
                name="deployment_finished_has_time",
            ),
            models.CheckConstraint(
                condition=Q(waits_for="") | Q(waits_for__in=["advance", "promote"], state__in=ACTIVE_STATES),
                name="deployment_waits_while_active",
            ),
        ]
        indexes = [models.Index(fields=["slot", "-id"])]

    def __str__(self) -> str:
        return f"{self.strategy} of {version_name(self.version_id)}: {self.state}"
