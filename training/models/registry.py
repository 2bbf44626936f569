"""The model registry: versions, their metrics, their episodes."""

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
    """Choices that declare value, whether the policy was learned from data, and label; without one of them they do not load."""

    is_learned: bool

    def __new__(cls, value: str, is_learned: bool) -> Self:
        """Keep the flag beside the value, which alone is stored."""
        kind = str.__new__(cls, value)
        kind._value_, kind.is_learned = value, is_learned
        return kind


class VersionKind(KindChoices):
    """Kinds of version."""

    REFERENCE = "reference", False, "reference action"
    LINEAR_Q = "linear_q", True, "linear Q"


def learned_kinds() -> list[str]:
    """The kinds whose policy is learned from data."""
    return [kind for kind in VersionKind if kind.is_learned]


def version_name(pk: int) -> str:
    """The name of the version with an id."""
    return f"model_{pk}"


class VersionQuerySet(models.QuerySet["ModelVersion"]):
    """Versions, and those among them that were learned."""

    def learned(self) -> VersionQuerySet:
        """Versions whose policy was learned from data; the declared references are left out."""
        return self.filter(kind__in=learned_kinds())


class ModelVersion(Created):
    """One policy for one head of one loop. Weights are validated arrays with a SHA-256, never pickle."""

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
        said = f"{self.loop_version.loop.name}/{self.head} {self.name}"
        return said if self.is_learned else f"{said} (the reference)"

    @property
    def is_learned(self) -> bool:
        """Whether its policy was learned from data; a declared reference was not."""
        return self.kind in learned_kinds()

    @property
    def name(self) -> str:
        """What every page, command and answer calls it."""
        return version_name(self.pk)

    def with_loop_version(self, at_hand: LoopVersion) -> ModelVersion:
        """This version; a loop version at hand is not read again, nor parsed, if it is the one that this was made for."""
        if self.loop_version_id == at_hand.pk:
            self.loop_version = at_hand
        return self


# What gates answer, and that none was asked, as every page and command says it.
VERDICT_WORDS = {
    "pass": "pass", "fail": "fail", "insufficient": "insufficient evidence", "reported": "reported", "not asked": "not asked",
}  # fmt: skip
SHARE_METRICS = ("empathy", "false_intervention")  # metrics that lie within 0 and 1


def says_nothing(name: str, low: float | None, high: float | None) -> bool:
    """Whether a share's interval covers all that a share can be: too few people to say, whatever the estimate."""
    return name in SHARE_METRICS and low is not None and high is not None and low <= 0.0 and high >= 1.0


MODEL_GATE, OUTCOME_GATE = "model_gate", "outcome_gate"  # sources of metrics


class ModelMetric(Created):
    """One number about a version, with its interval, its bar and what follows from it."""

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
        """Whether its interval says nothing yet."""
        return says_nothing(self.name, self.low, self.high)


class TrainingEpisode(models.Model):
    """One rollout of candidate and reference through one world drawn from the posterior, with common random numbers."""

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
    """What the outcome gate said about a version, on people nobody trained on. Attempts on the same people are counted."""

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
