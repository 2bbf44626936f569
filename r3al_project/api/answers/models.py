"""Build answers about versions of models: training, evaluation, deployment, health and rollback."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework import serializers

from deployments.engine.rollouts.strategies import STRATEGIES
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, DeploymentState, HealthCheck, HealthState, Incident
from jobs.models import Job, JobState
from r3al_project.api.answers.shape import Answer, PageAnswer, Shape, camel_keys, nullable_number
from r3al_project.turns.models import Turn
from training.models import (
    LIVED,
    MODEL_GATE,
    OUTCOME_GATE,
    TRIAL_GATE,
    GateVerdict,
    ModelMetric,
    ModelVersion,
    VersionKind,
    VersionState,
    version_name,
)

METRIC_SOURCES = (MODEL_GATE, OUTCOME_GATE, TRIAL_GATE, LIVED)
METRIC_VERDICTS = ("pass", "fail", "insufficient", "reported")
VERDICTS = ("pass", "fail", "insufficient")


class TrainAnswer(Shape):
    jobId = serializers.IntegerField()
    turnId = serializers.IntegerField()
    status = serializers.ChoiceField(choices=JobState.choices)
    notes = serializers.ListField(
        child=serializers.CharField(),
        help_text="Requested values that the turn changes or does not use, one sentence each.",
    )


def train_answer(turn: Turn, job: Job, notes: Sequence[str]) -> Answer:
    """Build the answer about a turn whose first stage is queued as ``job``.

    notes: one sentence for each requested value that the turn changes or does not use.
    """
    return {"jobId": job.pk, "turnId": turn.pk, "status": "queued", "notes": list(notes)}


class MetricAnswer(Shape):
    """An estimate with its interval and the threshold that it is compared with. Shares lie between 0 and 1."""

    source = serializers.ChoiceField(
        choices=METRIC_SOURCES,
        help_text="model_gate (sampled worlds), outcome_gate (people's own outcomes), trial (people of both arms), or lived "
        "(people of the deployed version).",
    )
    name = serializers.CharField()
    value = nullable_number()
    low = nullable_number()
    high = nullable_number()
    threshold = nullable_number()
    tooFew = serializers.BooleanField(
        help_text="True: the interval covers every possible value because too few people contributed. The value is null."
    )
    verdict = serializers.ChoiceField(choices=METRIC_VERDICTS)
    reason = serializers.CharField()


def metric_answer(metric: ModelMetric) -> Answer:
    """Build one metric of a gate. Its value is null when too few people contributed."""
    return {
        "source": metric.source, "name": metric.name, "value": None if metric.too_few else metric.value,
        "low": metric.low, "high": metric.high, "threshold": metric.threshold, "tooFew": metric.too_few,
        "verdict": metric.verdict, "reason": metric.reason,
    }  # fmt: skip


class VersionAnswer(Shape):
    versionId = serializers.CharField(help_text="For example model_12. Every page and command uses this name.")
    modelType = serializers.CharField()
    status = serializers.ChoiceField(choices=VersionState.choices)
    loop = serializers.CharField()
    loopVersion = serializers.IntegerField()
    number = serializers.IntegerField(help_text="Counts up within a loop and head.")
    kind = serializers.ChoiceField(choices=VersionKind.choices)
    deployed = serializers.BooleanField()
    createdAt = serializers.DateTimeField()
    metrics = MetricAnswer(many=True)
    verdict = serializers.ChoiceField(choices=VERDICTS, allow_null=True)


def version_answer(version: ModelVersion) -> Answer:
    """Build a version with its metrics and the latest verdict of its gate."""
    verdicts = version.verdicts.all()
    return {
        "versionId": version.name,
        "modelType": version.head,
        "status": version.state,
        "loop": version.loop_version.loop.name,
        "loopVersion": version.loop_version.version,
        "number": version.number,
        "kind": version.kind,
        "deployed": version.state == VersionState.DEPLOYED,
        "createdAt": version.created_at,
        "metrics": [metric_answer(m) for m in version.metrics.all()],
        "verdict": max(verdicts, key=lambda v: v.attempt).verdict if verdicts else None,
    }


class VersionsAnswer(PageAnswer):
    results = VersionAnswer(many=True)


class EvaluationAnswer(Shape):
    versionId = serializers.CharField()
    verdict = serializers.ChoiceField(choices=VERDICTS)
    reason = serializers.CharField()
    neededUsers = nullable_number(help_text="Approximate number of people that a decision needs.")
    attempt = serializers.IntegerField()
    passed = serializers.BooleanField()
    metrics = MetricAnswer(many=True)


def evaluation_answer(verdict: GateVerdict) -> Answer:
    """Build the outcome gate's verdict on a version."""
    return {
        "versionId": version_name(verdict.version_id), "verdict": verdict.verdict, "reason": verdict.reason,
        "neededUsers": verdict.needed_users, "attempt": verdict.attempt, "passed": verdict.verdict == "pass",
        "metrics": [metric_answer(m) for m in verdict.version.metrics.exclude(source=LIVED)],
    }  # fmt: skip


class DeployAnswer(Shape):
    deploymentId = serializers.IntegerField()
    versionId = serializers.CharField()
    deploymentType = serializers.ChoiceField(choices=tuple(STRATEGIES), help_text="How it was deployed.")
    exploration = serializers.FloatField(
        min_value=0, max_value=1, help_text="The share of decisions that explore from now on."
    )
    status = serializers.ChoiceField(choices=DeploymentState.choices)


def deploy_answer(deployment: Deployment) -> Answer:
    """Build the answer about a version that was deployed into its slot, or is on trial in it."""
    return {
        "deploymentId": deployment.pk, "versionId": version_name(deployment.version_id),
        "deploymentType": deployment.strategy, "exploration": deployment.slot.exploration_bp / BASIS_POINTS,
        "status": deployment.state,
    }  # fmt: skip


class RollbackAnswer(Shape):
    incidentId = serializers.IntegerField()
    serving = serializers.CharField(help_text="The version that is deployed now.")
    status = serializers.ChoiceField(choices=("rolled_back",))
    actor = serializers.CharField(help_text="Who rolled it back.")


def rollback_answer(incident: Incident, serving: str) -> Answer:
    """Build the answer about a rollback.

    serving: name of the version that is deployed now.
    """
    return {"incidentId": incident.pk, "serving": serving, "status": "rolled_back", "actor": incident.actor}


class LookMetricAnswer(Shape):
    name = serializers.CharField()
    value = nullable_number()
    low = nullable_number()
    high = nullable_number()
    threshold = nullable_number()
    n = serializers.IntegerField()
    minimumN = serializers.IntegerField()
    verdict = serializers.ChoiceField(choices=("ok", "beyond", "too_few"))
    over = serializers.CharField(
        help_text="The time that the value stands for: whole weeks, people's first day, or hours."
    )


class TriggerAnswer(Shape):
    name = serializers.CharField()
    value = nullable_number()
    over = serializers.CharField(help_text="The time that the value stands for.")
    logEvidence = serializers.FloatField()
    bar = serializers.FloatField()
    proven = serializers.BooleanField(help_text="The version is proven to be worse than the other arm.")
    fires = serializers.BooleanField(help_text="The version is taken back.")


class HealthAnswer(Shape):
    versionId = serializers.CharField()
    status = serializers.ChoiceField(choices=HealthState.choices)
    enoughSeen = serializers.BooleanField(
        help_text="False: empathy or false interventions have too few people, so a healthy status means nothing yet."
    )
    checkedAt = serializers.DateTimeField()
    metrics = LookMetricAnswer(many=True)
    triggers = TriggerAnswer(many=True)
    recommendations = serializers.ListField(child=serializers.CharField())
    rolledBack = serializers.BooleanField()


def health_answer(check: HealthCheck) -> Answer:
    """Build one health check with the metrics and triggers that it stored."""
    return {
        "versionId": version_name(check.version_id), "status": check.state, "enoughSeen": check.enough_seen,
        "checkedAt": check.created_at, "metrics": camel_keys(check.metrics), "triggers": camel_keys(check.triggers),
        "recommendations": check.recommendations, "rolledBack": check.acted,
    }  # fmt: skip
