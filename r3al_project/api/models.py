"""Models: train, list, evaluate, deploy, watch, take back, in the blueprint's words."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Forbidden, InputError, NotFound
from deployments.engine.rollouts.strategies import FULL_ROLLOUT, STRATEGIES, strategy_named
from deployments.models import HealthCheck
from deployments.services.rollouts.rollback import version_rollback
from deployments.services.rollouts.slots import LONGEST_REASON
from deployments.services.rollouts.start import rollout_start
from loops.models import LoopVersion
from loops.selectors import DEFAULT_LOOP, loop_version_current
from privacy.engine.data_types import DATA_TYPES
from r3al_project.api.answers.models import (
    DeployAnswer,
    EvaluationAnswer,
    HealthAnswer,
    RollbackAnswer,
    TrainAnswer,
    VersionAnswer,
    VersionsAnswer,
    deploy_answer,
    evaluation_answer,
    health_answer,
    rollback_answer,
    train_answer,
    version_answer,
)
from r3al_project.api.answers.shape import page_answer
from r3al_project.api.http.idempotency import idempotent
from r3al_project.api.http.pagination import Pages
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import FieldError, NumberField, StrictBody, WholeField, read_body, read_query
from r3al_project.permissions import (
    DEPLOY_VERSION,
    OVERRIDE_COMPARISON,
    ROLLBACK_VERSION,
    START_TURN,
    VIEW_HEALTH,
    VIEW_VERSIONS,
)
from r3al_project.turns.limits import DEFAULT_EPSILON, FEWEST_STATES, MOST_EPOCHS, MOST_STATES
from r3al_project.turns.services import turn_parameters, turn_start
from training.models import ModelVersion, VersionState, version_name
from training.selectors.versions import heads_known, last_verdict, version_named

_NO_USE = "Kept with the turn, and of no use to the trainer."


class Hyperparams(StrictBody):
    """Fitted Q-iteration solves each sweep exactly: a learning rate or batches are checked and kept, and of no use to it."""

    learningRate = NumberField(required=False, min_value=1e-6, max_value=1.0, help_text=_NO_USE)
    gamma = NumberField(required=False, min_value=0.0, max_value=0.999, help_text="A discount to try beside the grid.")
    epsilon = NumberField(
        required=False, min_value=0.0, max_value=1.0,
        help_text="Share of decisions that explore once what this turn trains serves; otherwise the loop's.",
    )  # fmt: skip
    batchSize = WholeField(required=False, min_value=1, max_value=100_000, help_text=_NO_USE)


class TrainBody(StrictBody):
    modelType = serializers.CharField(
        help_text="A head of the loop. All heads are trained from one release; this one may be deployed."
    )
    sourceDataType = serializers.ChoiceField(
        choices=DATA_TYPES, default="interaction",
        help_text="Kept with the turn: a release reads decisions and what followed them, of whatever type.",
    )  # fmt: skip
    epochs = WholeField(
        required=False, min_value=1, max_value=MOST_EPOCHS, help_text="At most so many sweeps of fitted Q-iteration."
    )
    syntheticSamples = WholeField(
        required=False, min_value=1, max_value=MOST_STATES,
        help_text=f"States to draw transitions from; fewer than {FEWEST_STATES} are raised to that, which the answer says.",
    )  # fmt: skip
    hyperparams = Hyperparams(required=False)
    loop = serializers.CharField(default=DEFAULT_LOOP)
    privacyEpsilon = NumberField(default=DEFAULT_EPSILON)


class ListQuery(StrictBody):
    status = serializers.ChoiceField(choices=VersionState.values, required=False, allow_blank=True)
    modelType = serializers.CharField(
        required=False, allow_blank=True, help_text="A head of any loop; its versions in every loop that has it."
    )
    loop = serializers.CharField(required=False, allow_blank=True)
    page = WholeField(required=False, min_value=1)
    pageSize = WholeField(required=False, min_value=1, max_value=Pages.max_page_size)


class ModelsView(APIView):
    """``POST`` begins a turn (collect, release, synthesize, train, evaluate, deploy); ``GET`` lists versions, newest first."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS, "POST": START_TURN}

    @extend_schema(request=TrainBody, responses={202: TrainAnswer})
    @idempotent
    def post(self, request: Request) -> Response:
        given = read_body(TrainBody, request)
        version = loop_version_current(given["loop"])
        _check_head(version, given["modelType"])
        samples = given.get("syntheticSamples", settings.DEFAULT_SYNTHETIC_SAMPLES)
        requested = {
            "epochs": given.get("epochs", settings.DEFAULT_EPOCHS),
            "syntheticSamples": max(samples, FEWEST_STATES),
            "hyperparams": dict(given.get("hyperparams", {})),
            "sourceDataType": given["sourceDataType"],
        }
        parameters = turn_parameters(epsilon=given["privacyEpsilon"], head=given["modelType"], requested=requested)
        turn = turn_start(loop_version=version, parameters=parameters)
        job = turn.stages.select_related("job").get().job
        begun = train_answer(turn, job, _notes(given, samples))
        return Response(begun, status=202, headers={"Location": f"/api/v1/jobs/{job.pk}"})

    @extend_schema(operation_id="v1_training_models_list", parameters=[ListQuery], responses={200: VersionsAnswer})
    def get(self, request: Request) -> Response:
        found = ModelVersion.objects.select_related("loop_version__loop").defer("weights").order_by("-id")
        given = read_query(ListQuery, request)
        _check_listed(given.get("modelType"))
        for name, column in (("status", "state"), ("modelType", "head"), ("loop", "loop_version__loop__name")):
            if given.get(name):
                found = found.filter(**{column: given[name]})
        pages = Pages()
        page = pages.paginate_queryset(found.prefetch_related("metrics", "verdicts"), request, view=self) or []
        return Response(page_answer(pages, [version_answer(v) for v in page]))


def _check_head(version: LoopVersion, name: str) -> None:
    """Raises FieldError that lists the loop's heads for a ``modelType`` that is none of them."""
    try:
        version.spec.head(name)
    except InputError as error:
        raise FieldError("modelType", str(error)) from None


def _check_listed(name: str | None) -> None:
    """Raises FieldError that lists the heads of all loops for a ``modelType`` that no loop has."""
    known = heads_known() if name else []
    if name and name not in known:
        raise FieldError("modelType", f"no loop has a head {name!r}; there are {', '.join(known) or 'none yet'}")


def _notes(given: dict[str, Any], samples: int) -> list[str]:
    """What a turn does otherwise than asked, a sentence each."""
    notes = []
    if samples < FEWEST_STATES:
        notes.append(f"syntheticSamples was raised from {samples} to {FEWEST_STATES}, the fewest that a fit holds on")
    unused = [name for name in ("learningRate", "batchSize") if name in given.get("hyperparams", {})]
    if unused:
        notes.append(
            f"{' and '.join(unused)}: kept with the turn, and of no use to a trainer that solves each sweep exactly"
        )
    return notes


def version_of_address(name: str, given: dict[str, Any]) -> ModelVersion:
    """The version of the address, if the body names no other."""
    found = version_named(name)
    named = given.get("versionId")
    if named is not None and named not in (str(found.pk), found.name):
        raise InputError(f"versionId is {named!r}, but the address names {found.name}; send the same, or leave it out")
    return found


class ModelView(APIView):
    """One version."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS}

    @extend_schema(responses={200: VersionAnswer})
    def get(self, request: Request, version: str) -> Response:
        return Response(version_answer(version_named(version)))


class EvaluationView(APIView):
    """What the outcome gate said of a version, on people who did not train it."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS}

    @extend_schema(responses={200: EvaluationAnswer})
    def get(self, request: Request, version: str) -> Response:
        found = version_named(version)
        verdict = last_verdict(found)
        if verdict is None:
            raise NotFound(f"{found} was not evaluated yet; a turn does so after training")
        return Response(evaluation_answer(verdict))


class DeployBody(StrictBody):
    versionId = serializers.CharField(required=False, help_text="If given, the one of the address.")
    overrideReason = serializers.CharField(
        required=False, max_length=LONGEST_REASON,
        help_text="Why to deploy what was judged against something else than what serves now. Kept for good.",
    )  # fmt: skip
    deploymentType = serializers.ChoiceField(choices=tuple(STRATEGIES), default=FULL_ROLLOUT)
    trafficPercentage = NumberField(default=100.0, min_value=0.0, max_value=100.0)


class DeployView(APIView):
    """Put a version that passed its evaluation in front of everybody but a holdback."""

    permission_classes = (HasPermission,)
    may = {"POST": DEPLOY_VERSION}

    @extend_schema(request=DeployBody, responses={200: DeployAnswer})
    @idempotent
    def post(self, request: Request, version: str) -> Response:
        given = read_body(DeployBody, request)
        strategy = strategy_named(given["deploymentType"])
        if not strategy.is_available or given["trafficPercentage"] != 100.0:
            raise InputError("there is one strategy now: deploymentType full_rollout with trafficPercentage 100")
        found, override = version_of_address(version, given), given.get("overrideReason", "")
        if override and not request.user.has_perm(OVERRIDE_COMPARISON):
            raise Forbidden("your role does not allow overrideReason; an administrator can give you another")
        done = rollout_start(
            strategy=strategy.name, version=found, actor=request.user.get_username(), reason="deployed by an operator",
            override=override,
        )  # fmt: skip
        return Response(deploy_answer(done))


class HealthView(APIView):
    """What the latest looks at a serving version found."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_HEALTH}

    @extend_schema(responses={200: HealthAnswer})
    def get(self, request: Request, version: str) -> Response:
        found = version_named(version)
        check = HealthCheck.objects.filter(version=found).order_by("-id").first()
        if check is None:
            raise NotFound(f"{found} was not looked at yet; what serves is looked at every minute")
        return Response(health_answer(check))


class RollbackBody(StrictBody):
    versionId = serializers.CharField(required=False, help_text="If given, the one of the address.")
    reason = serializers.CharField(max_length=LONGEST_REASON)
    harmful = serializers.BooleanField(default=False, help_text="No rollback shall ever come back to this version.")


class RollbackView(APIView):
    """Take a serving version back."""

    permission_classes = (HasPermission,)
    may = {"POST": ROLLBACK_VERSION}

    @extend_schema(request=RollbackBody, responses={200: RollbackAnswer})
    @idempotent
    def post(self, request: Request, version: str) -> Response:
        given = read_body(RollbackBody, request)
        incident = version_rollback(
            version=version_of_address(version, given),
            actor=request.user.get_username(),
            reason=given["reason"],
            harmful=given["harmful"],
        )
        serving = version_name(incident.deployment.rolled_back_by.version_id)
        return Response(rollback_answer(incident, serving))
