"""Models: train, list, evaluate, deploy, watch, take back, in the blueprint's words."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments.models import HealthCheck
from deployments.services.deploy import full_rollout
from deployments.services.rollback import rollback_check, slot_rollback
from loops.selectors import loop_version_current
from r3al_project.api.access import May
from r3al_project.api.answers import (
    DeployAnswer,
    EvaluationAnswer,
    HealthAnswer,
    RollbackAnswer,
    VersionAnswer,
    VersionsAnswer,
)
from r3al_project.api.idempotency import idempotent
from r3al_project.common.errors import Forbidden, InputError, NotFound
from r3al_project.turns.services import turn_parameters, turn_start
from training.models import ModelVersion, VersionState, version_name
from training.selectors import last_verdict, version_named

OVERRIDE = "deployments.override_comparison"
NAMES = ("policy", "timing", "tone", "empathy")
_FEWEST_SAMPLES, _MOST_SAMPLES = 200, 100_000


class Hyperparams(serializers.Serializer[Any]):
    """Checked and kept with the turn. Fitted Q-iteration solves each sweep exactly: a learning rate or batches are of no use."""

    learningRate = serializers.FloatField(default=0.001, min_value=1e-6, max_value=1.0)
    gamma = serializers.FloatField(required=False, min_value=0.0, max_value=0.999)
    epsilon = serializers.FloatField(default=0.1, min_value=0.0, max_value=1.0, help_text="Exploration when deployed.")
    batchSize = serializers.IntegerField(default=32, min_value=1, max_value=100_000)


class TrainBody(serializers.Serializer[Any]):
    modelType = serializers.ChoiceField(
        choices=NAMES, help_text="All heads are trained from one release; this one may be deployed."
    )
    sourceDataType = serializers.ChoiceField(
        choices=("pulse", "emotion", "interaction", "feature", "categorical"), default="interaction"
    )
    epochs = serializers.IntegerField(required=False, min_value=1, max_value=10_000)
    syntheticSamples = serializers.IntegerField(required=False, min_value=1, max_value=_MOST_SAMPLES)
    hyperparams = Hyperparams(required=False)
    loop = serializers.CharField(default="r3al")
    privacyEpsilon = serializers.FloatField(default=1.0)


class TrainAnswer(serializers.Serializer[Any]):
    jobId = serializers.IntegerField()
    turnId = serializers.IntegerField()
    status = serializers.CharField()


class Pages(PageNumberPagination):
    page_size = 50
    page_size_query_param = "pageSize"
    max_page_size = 200


class Models(APIView):
    """``POST`` begins a turn (collect, release, synthesize, train, evaluate, deploy); ``GET`` lists versions, newest first."""

    permission_classes = (May,)
    may = {"GET": "training.view_modelversion", "POST": "turns.start_turn"}

    @extend_schema(request=TrainBody, responses={202: TrainAnswer})
    @idempotent
    def post(self, request: Request) -> Response:
        body = TrainBody(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        version = loop_version_current(given["loop"])
        samples = given.get("syntheticSamples", settings.DEFAULT_SYNTHETIC_SAMPLES)
        requested = {
            "epochs": given.get("epochs", settings.DEFAULT_EPOCHS),
            "syntheticSamples": max(samples, _FEWEST_SAMPLES),
            "hyperparams": dict(given.get("hyperparams", {})),
            "sourceDataType": given["sourceDataType"],
        }
        parameters = turn_parameters(epsilon=given["privacyEpsilon"], head=given["modelType"], requested=requested)
        turn = turn_start(loop_version=version, parameters=parameters)
        job = turn.stages.select_related("job").get().job
        told = {"jobId": job.pk, "turnId": turn.pk, "status": "queued"}
        return Response(told, status=202, headers={"Location": f"/api/v1/jobs/{job.pk}"})

    @extend_schema(
        operation_id="v1_training_models_list",
        parameters=[
            OpenApiParameter("status", enum=VersionState.values),
            OpenApiParameter("modelType", enum=NAMES),
            OpenApiParameter("loop"),
        ],
        responses={200: VersionsAnswer},
    )
    def get(self, request: Request) -> Response:
        found = ModelVersion.objects.select_related("loop_version__loop").defer("weights").order_by("-id")
        status, head, loop = (request.query_params.get(name) for name in ("status", "modelType", "loop"))
        if status and status not in VersionState.values:
            raise InputError(f"status {status!r} is not known; it is one of {', '.join(VersionState.values)}")
        if head:
            found = found.filter(head=head)
        if loop:
            found = found.filter(loop_version__loop__name=loop)
        found = found.filter(state=status) if status else found
        pages = Pages()
        page = pages.paginate_queryset(found.prefetch_related("metrics", "verdicts"), request, view=self) or []
        return pages.get_paginated_response([version_told(v) for v in page])


def version_told(version: ModelVersion) -> dict[str, Any]:
    """A version in the blueprint's words."""
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
        "metrics": [_metric_told(m) for m in version.metrics.all()],
        "verdict": max(version.verdicts.all(), key=lambda v: v.attempt).verdict if version.verdicts.all() else None,
    }


def _metric_told(metric: Any) -> dict[str, Any]:
    return {
        "source": metric.source, "name": metric.name, "value": None if metric.too_few else metric.value,
        "low": metric.low, "high": metric.high,
        "threshold": metric.threshold, "tooFew": metric.too_few, "verdict": metric.verdict, "reason": metric.reason,
    }  # fmt: skip


def version_meant(name: str, given: dict[str, Any]) -> ModelVersion:
    """The version of the address, if the body names no other."""
    found = version_named(name)
    named = given.get("versionId")
    if named is not None and named not in (str(found.pk), found.name):
        raise InputError(f"versionId is {named!r}, but the address names {found.name}; send the same, or leave it out")
    return found


class Model(APIView):
    """One version."""

    permission_classes = (May,)
    may = {"GET": "training.view_modelversion"}

    @extend_schema(responses={200: VersionAnswer})
    def get(self, request: Request, version: str) -> Response:
        return Response(version_told(version_named(version)))


class Evaluation(APIView):
    """What the outcome gate said of a version, on people who did not train it."""

    permission_classes = (May,)
    may = {"GET": "training.view_modelversion"}

    @extend_schema(responses={200: EvaluationAnswer})
    def get(self, request: Request, version: str) -> Response:
        found = version_named(version)
        verdict = last_verdict(found)
        if verdict is None:
            raise NotFound(f"{found} was not evaluated yet; a turn does so after training")
        told = {
            "verdict": verdict.verdict, "reason": verdict.reason, "neededUsers": verdict.needed_users,
            "attempt": verdict.attempt, "passed": verdict.verdict == "pass",
        }  # fmt: skip
        return Response({"versionId": found.name} | told | {"metrics": [_metric_told(m) for m in found.metrics.all()]})


class DeployBody(serializers.Serializer[Any]):
    versionId = serializers.CharField(required=False, help_text="If given, the one of the address.")
    overrideReason = serializers.CharField(
        required=False, max_length=500,
        help_text="Why to deploy what was judged against something else than what serves now. Kept for good.",
    )  # fmt: skip
    deploymentType = serializers.ChoiceField(
        choices=("full_rollout", "canary", "shadow_test", "ab_test"), default="full_rollout"
    )
    trafficPercentage = serializers.FloatField(default=100.0, min_value=0.0, max_value=100.0)


class Deploy(APIView):
    """Put a version that passed its evaluation in front of everybody but a holdback."""

    permission_classes = (May,)
    may = {"POST": "deployments.deploy_version"}

    @extend_schema(request=DeployBody, responses={200: DeployAnswer})
    @idempotent
    def post(self, request: Request, version: str) -> Response:
        body = DeployBody(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        if given["deploymentType"] != "full_rollout" or given["trafficPercentage"] != 100.0:
            raise InputError("there is one strategy now: deploymentType full_rollout with trafficPercentage 100")
        found, override = version_meant(version, given), given.get("overrideReason", "")
        if override and not request.user.has_perm(OVERRIDE):
            raise Forbidden("your role does not allow overrideReason; an administrator can give you another")
        done = full_rollout(
            version=found, actor=request.user.get_username(), reason="deployed by an operator", override=override
        )
        return Response({"deploymentId": done.pk, "versionId": found.name, "status": done.state})


class Health(APIView):
    """What the latest looks at a serving version found."""

    permission_classes = (May,)
    may = {"GET": "deployments.view_healthcheck"}

    @extend_schema(responses={200: HealthAnswer})
    def get(self, request: Request, version: str) -> Response:
        found = version_named(version)
        check = HealthCheck.objects.filter(version=found).order_by("-id").first()
        if check is None:
            raise NotFound(f"{found} was not looked at yet; what serves is looked at every minute")
        return Response(health_told(check))


def health_told(check: HealthCheck) -> dict[str, Any]:
    """A look at a version."""
    return {
        "versionId": version_name(check.version_id), "status": check.state, "enoughSeen": check.enough_seen,
        "checkedAt": check.created_at,
        "metrics": check.metrics, "triggers": check.triggers, "recommendations": check.recommendations,
        "rolledBack": check.acted,
    }  # fmt: skip


class RollbackBody(serializers.Serializer[Any]):
    versionId = serializers.CharField(required=False, help_text="If given, the one of the address.")
    reason = serializers.CharField(max_length=500)
    harmful = serializers.BooleanField(default=False, help_text="No rollback shall ever come back to this version.")


class Rollback(APIView):
    """Take a serving version back."""

    permission_classes = (May,)
    may = {"POST": "deployments.rollback_version"}

    @extend_schema(request=RollbackBody, responses={200: RollbackAnswer})
    @idempotent
    def post(self, request: Request, version: str) -> Response:
        body = RollbackBody(data=request.data)
        body.is_valid(raise_exception=True)
        found = version_meant(version, body.validated_data)
        slot = rollback_check(found)
        incident = slot_rollback(
            slot=slot,
            actor=request.user.get_username(),
            reason=body.validated_data["reason"],
            automatic=False,
            harmful=body.validated_data["harmful"],
        )
        slot.refresh_from_db()
        return Response({"incidentId": incident.pk, "serving": version_name(slot.stable_id), "status": "rolled_back"})
