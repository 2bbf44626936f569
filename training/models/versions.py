"""Define the model registry: versions, their metrics, their gate verdicts and their rollout episodes."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q

from core.model_base import Created
from loops.models import LoopVersion
from privacy.models import Release


class VersionState(models.TextChoices):
    TRAINING = "training", "training"
    EVALUATING = "evaluating", "evaluating"
    DEPLOYED = "deployed", "deployed"
    ARCHIVED = "archived", "archived"
    FAILED = "failed", "failed"


class KindChoices(models.TextChoices):
    """Choices declared as (value, whether the policy is learned from data, label). A missing part is an error at import."""

    is_learned: bool

    def __new__(cls, value: str, is_learned: bool) -> Self:
        """Attach ``is_learned`` to the member. The database stores the value only."""
        kind = str.__new__(cls, value)
        kind._value_, kind.is_learned = value, is_learned
        return kind


class VersionKind(KindChoices):
    """The kinds of version."""

    REFERENCE = "reference", False, "reference action"
    LINEAR_Q = "linear_q", True, "linear Q"


def learned_kinds() -> list[str]:
    """Return the kinds whose policy is learned from data."""
    return [kind for kind in VersionKind if kind.is_learned]


def version_name(pk: int) -> str:
    """Return the name of the version with this id, for example ``model_12``."""
    return f"model_{pk}"


class VersionQuerySet(models.QuerySet["ModelVersion"]):
    """Queries on versions."""

    def learned(self) -> VersionQuerySet:
        """Keep the versions whose policy was learned from data, and leave out the declared references."""
        return self.filter(kind__in=learned_kinds())


class ModelVersion(Created):
    """Store one policy for one head of one loop. Weights are validated arrays with a SHA-256, never pickle."""

    loop_version = models.ForeignKey(LoopVersion, on_delete=models.PROTECT, related_name="model_versions")
    head = models.CharField(max_length=20)
    number = models.PositiveIntegerField(help_text="Counts up within a loop and head.")
    kind = models.CharField(max_length=20, choices=VersionKind.choices)
    state = models.CharField(max_length=12, choices=VersionState.choices, default=VersionState.TRAINING)
    weights = models.BinaryField(default=b"")
    weights_sha256 = models.CharField(max_length=64, blank=True)
    config = models.JSONField(default=dict, help_text="Feature set, discount, support cap, seeds.")
    releases = models.ManyToManyField(Release, related_name="model_versions", blank=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children")

    objects = VersionQuerySet.as_manager()

    class Meta:
        db_table = "model_versions"
        constraints = [
            models.UniqueConstraint(fields=["loop_version", "head", "number"], name="model_version_number_once"),
            models.CheckConstraint(condition=Q(state__in=VersionState.values), name="model_version_state_known"),
            models.CheckConstraint(
                condition=Q(kind="reference") | Q(state__in=["training", "failed"]) | ~Q(weights_sha256=""),
                name="model_version_has_weights",
            ),
        ]
        indexes = [models.Index(fields=["loop_version", "head", "state"])]

    def __str__(self) -> str:
        name = f"{self.loop_version.loop.name}/{self.head} {self.name}"
        return name if self.is_learned else f"{name} (the reference)"

    @property
    def is_learned(self) -> bool:
        """Tell whether the policy was learned from data. A declared reference was not."""
        return self.kind in learned_kinds()

    @property
    def name(self) -> str:
        """Return the name that every page, command and API answer uses."""
        return version_name(self.pk)

    def with_loop_version(self, at_hand: LoopVersion) -> ModelVersion:
        """Attach an already loaded loop version if it is this version's own, to save reading and parsing it again."""
        if self.loop_version_id == at_hand.pk:
            self.loop_version = at_hand
        return self


# Labels of verdicts on every page and command. "not asked" stands for a missing verdict.
VERDICT_WORDS = {
    "pass": "pass", "fail": "fail", "insufficient": "insufficient evidence", "reported": "reported", "not asked": "not asked",
}  # fmt: skip
SHARE_METRICS = ("empathy", "false_intervention", "silence")  # metrics with values in [0, 1]


def says_nothing(name: str, low: float | None, high: float | None) -> bool:
    """Tell whether a share's interval covers all of [0, 1]. It then carries no information, whatever the estimate."""
    return name in SHARE_METRICS and low is not None and high is not None and low <= 0.0 and high >= 1.0


MODEL_GATE, OUTCOME_GATE, TRIAL_GATE = "model_gate", "outcome_gate", "trial"  # sources of metrics
LIVED = "lived"  # source of what the people of a deployed version lived; it judges the gates, and no gate reads it


class ModelMetric(Created):
    """Store one measured number of a version, with its interval, its bar and its verdict."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="metrics")
    source = models.CharField(max_length=20, help_text="model_gate (simulated worlds) or outcome_gate (real people).")
    name = models.CharField(max_length=40)
    value = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    threshold = models.FloatField(null=True)
    users = models.FloatField(null=True, help_text="Noised number of people behind it.")
    needed_users = models.FloatField(null=True)
    verdict = models.CharField(max_length=12)
    reason = models.TextField(blank=True)

    class Meta:
        db_table = "model_metrics"
        constraints = [
            models.UniqueConstraint(fields=["version", "source", "name"], name="model_metric_once"),
            models.CheckConstraint(
                condition=Q(verdict__in=["pass", "fail", "insufficient", "reported"]), name="model_metric_verdict_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}"

    @property
    def too_few(self) -> bool:
        """Tell whether too few people contributed for the interval to carry information."""
        return says_nothing(self.name, self.low, self.high)


class TrainingEpisode(models.Model):
    """Store one rollout of candidate and reference through one world sampled from the posterior, with common random numbers."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="episodes")
    index = models.PositiveIntegerField()
    steps = models.PositiveIntegerField()
    candidate_return = models.FloatField()
    reference_return = models.FloatField()
    intervention_rate = models.FloatField()

    class Meta:
        db_table = "training_episodes"
        constraints = [models.UniqueConstraint(fields=["version", "index"], name="episode_once")]

    def __str__(self) -> str:
        return f"episode {self.index} of {version_name(self.version_id)}"


class GateVerdict(Created):
    """Store the outcome gate's verdict on a version, from people's own outcomes.

    ``attempt`` counts evaluations on the same people.
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="verdicts")
    attempt = models.PositiveIntegerField()
    release = models.ForeignKey(Release, null=True, blank=True, on_delete=models.PROTECT, related_name="verdicts")
    verdict = models.CharField(max_length=12)
    reason = models.TextField()
    needed_users = models.FloatField(null=True)

    class Meta:
        db_table = "gate_verdicts"
        constraints = [
            models.UniqueConstraint(fields=["version", "attempt"], name="gate_verdict_once"),
            models.CheckConstraint(
                condition=Q(verdict__in=["pass", "fail", "insufficient"]), name="gate_verdict_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} (attempt {self.attempt})"
