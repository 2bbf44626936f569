"""Answers about versions of models: begun, listed, evaluated, deployed, watched and taken back."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework import serializers

from deployments.models import Deployment, HealthCheck, HealthState, Incident
from jobs.models import Job
from r3al_project.api.answers.shape import Answer, PageAnswer, Shape, camel_keys, nullable_number
from r3al_project.turns.models import Turn
from training.models import GateVerdict, ModelMetric, ModelVersion, VersionKind, VersionState, version_name

VERDICTS = ("pass", "fail", "insufficient")


class TrainAnswer(Shape):
    jobId = serializers.IntegerField()
    turnId = serializers.IntegerField()
    status = serializers.CharField()
    notes = serializers.ListField(child=serializers.CharField(), help_text="What is done otherwise than asked.")


def train_answer(turn: Turn, job: Job, notes: Sequence[str]) -> Answer:
    """Build the answer about a turn that has just begun with ``job``; ``notes``: sentences."""
    return {"jobId": job.pk, "turnId": turn.pk, "status": "queued", "notes": list(notes)}


class MetricAnswer(Shape):
    """A number with its interval and the bar it is held against. Shares lie within 0 and 1."""

    source = serializers.CharField(help_text="model_gate (drawn worlds) or outcome_gate (people who trained none).")
    name = serializers.CharField()
    value = nullable_number()
    low = nullable_number()
    high = nullable_number()
    threshold = nullable_number()
    tooFew = serializers.BooleanField(
        help_text="The interval covers all that is possible: too few people to say, so value is null."
    )
    verdict = serializers.CharField()
    reason = serializers.CharField()


def metric_answer(metric: ModelMetric) -> Answer:
    """Build one metric of a gate; a value that too few people carry is null."""
    return {
        "source": metric.source, "name": metric.name, "value": None if metric.too_few else metric.value,
        "low": metric.low, "high": metric.high, "threshold": metric.threshold, "tooFew": metric.too_few,
        "verdict": metric.verdict, "reason": metric.reason,
    }  # fmt: skip


class VersionAnswer(Shape):
    versionId = serializers.CharField(help_text="Like model_12; every page and command names the version so.")
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
    neededUsers = nullable_number(help_text="About how many people would decide it.")
    attempt = serializers.IntegerField()
    passed = serializers.BooleanField()
    metrics = MetricAnswer(many=True)


def evaluation_answer(verdict: GateVerdict) -> Answer:
    """Build what the outcome gate said of a version."""
    return {
        "versionId": version_name(verdict.version_id), "verdict": verdict.verdict, "reason": verdict.reason,
        "neededUsers": verdict.needed_users, "attempt": verdict.attempt, "passed": verdict.verdict == "pass",
        "metrics": [metric_answer(m) for m in verdict.version.metrics.all()],
    }  # fmt: skip


class DeployAnswer(Shape):
    deploymentId = serializers.IntegerField()
    versionId = serializers.CharField()
    status = serializers.CharField()


def deploy_answer(deployment: Deployment) -> Answer:
    """Build the answer about a version that was put into its slot."""
    name = version_name(deployment.version_id)
    return {"deploymentId": deployment.pk, "versionId": name, "status": deployment.state}


class RollbackAnswer(Shape):
    incidentId = serializers.IntegerField()
    serving = serializers.CharField(help_text="The version that serves now.")
    status = serializers.CharField()


def rollback_answer(incident: Incident, serving: str) -> Answer:
    """Build the answer about a version that was taken back; ``serving``: the name of the one that serves now."""
    return {"incidentId": incident.pk, "serving": serving, "status": "rolled_back"}


class LookMetricAnswer(Shape):
    name = serializers.CharField()
    value = nullable_number()
    low = nullable_number()
    high = nullable_number()
    threshold = nullable_number()
    n = serializers.IntegerField()
    minimumN = serializers.IntegerField()
    verdict = serializers.ChoiceField(choices=("ok", "beyond", "too_few"))


class TriggerAnswer(Shape):
    name = serializers.CharField()
    value = nullable_number()
    logEvidence = serializers.FloatField()
    bar = serializers.FloatField()
    fires = serializers.BooleanField()


class HealthAnswer(Shape):
    versionId = serializers.CharField()
    status = serializers.ChoiceField(choices=HealthState.choices)
    enoughSeen = serializers.BooleanField(
        help_text="False: every metric has too few values, so the status is no praise."
    )
    checkedAt = serializers.DateTimeField()
    metrics = LookMetricAnswer(many=True)
    triggers = TriggerAnswer(many=True)
    recommendations = serializers.ListField(child=serializers.CharField())
    rolledBack = serializers.BooleanField()


def health_answer(check: HealthCheck) -> Answer:
    """Build one health check; its metrics and triggers are those that it stored."""
    return {
        "versionId": version_name(check.version_id), "status": check.state, "enoughSeen": check.enough_seen,
        "checkedAt": check.created_at, "metrics": camel_keys(check.metrics), "triggers": camel_keys(check.triggers),
        "recommendations": check.recommendations, "rolledBack": check.acted,
    }  # fmt: skip
