"""Train, list, evaluate, deploy, monitor and roll back versions of models."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Forbidden, InputError, NotFound
from deployments.engine.rollouts.strategies import STRATEGIES
from deployments.models import HealthCheck
from deployments.selectors.slots import incident_of, serving_after
from deployments.services.rollouts.rollback import rollback_undo, version_rollback
from deployments.services.rollouts.slots import LONGEST_REASON
from loops.engine.spec import DEPLOY_MODES
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
from r3al_project.api.http.api_view import ApiView
from r3al_project.api.http.idempotency import idempotent
from r3al_project.api.http.pagination import PageQuery, page_of_table
from r3al_project.api.http.permissions import HasPermission
from r3al_project.api.http.request_bodies import (
    FlagField,
    LoopField,
    NumberField,
    OneOfField,
    StrictBody,
    TextField,
    WholeField,
    read_body,
)
from r3al_project.permissions import (
    DEPLOY_VERSION,
    OVERRIDE_COMPARISON,
    ROLLBACK_VERSION,
    START_TURN,
    VIEW_HEALTH,
    VIEW_VERSIONS,
)
from r3al_project.turns.deploy_by_hand import deploy_by_hand
from r3al_project.turns.limits import DEFAULT_EPSILON, FEWEST_STATES, MOST_EPOCHS, MOST_STATES
from r3al_project.turns.services import turn_parameters, turn_start
from training.models import ModelVersion, VersionState
from training.selectors.versions import heads_known, last_verdict, version_named

_NO_USE = "Stored with the turn. The trainer does not use it."


class Hyperparams(StrictBody):
    """Hyperparameters. Fitted Q-iteration solves each sweep exactly, so it uses neither the learning rate nor the batch size."""

    learningRate = NumberField(required=False, min_value=1e-6, max_value=1.0, help_text=_NO_USE)
    gamma = NumberField(
        required=False,
        min_value=0.0,
        max_value=0.999,
        help_text="A discount factor to try in addition to the default grid.",
    )
    epsilon = NumberField(
        required=False, min_value=0.0, max_value=1.0,
        help_text="Share of decisions that explore once this turn's version is deployed. Default: the loop's share.",
    )  # fmt: skip
    batchSize = WholeField(required=False, min_value=1, max_value=100_000, help_text=_NO_USE)


class TrainBody(StrictBody):
    modelType = TextField(help_text="A head of the loop. Only this head is trained, evaluated and deployed.")
    sourceDataType = OneOfField(
        choices=DATA_TYPES, default="interaction",
        help_text="Stored with the turn. A release reads decisions and their outcomes of every type.",
    )  # fmt: skip
    epochs = WholeField(
        required=False, min_value=1, max_value=MOST_EPOCHS, help_text="Maximum number of sweeps of fitted Q-iteration."
    )
    syntheticSamples = WholeField(
        required=False, min_value=1, max_value=MOST_STATES,
        help_text=f"Number of states to draw transitions from. The minimum is {FEWEST_STATES}; a smaller number is raised to it.",
    )  # fmt: skip
    hyperparams = Hyperparams(required=False)
    loop = TextField(default=DEFAULT_LOOP)
    deploy = OneOfField(
        choices=DEPLOY_MODES, required=False,
        help_text="By hand: the turn ends with its verdict, and an operator deploys. Default: as the loop declares.",
    )  # fmt: skip
    privacyEpsilon = NumberField(
        default=DEFAULT_EPSILON, min_value=0,
        help_text="Above 0, and at most MAX_PRIVACY_EPSILON of the server (1 unless it is set).",
    )  # fmt: skip


class ListQuery(PageQuery):
    status = OneOfField(choices=VersionState.values, required=False, allow_blank=True)
    modelType = TextField(
        required=False,
        allow_blank=True,
        help_text="A head of any loop. The list holds its versions in every loop that has it.",
    )
    loop = LoopField(required=False, allow_blank=True)


class ModelsView(ApiView):
    """``POST`` starts a turn (collect, release, synthesize, train, evaluate, deploy). ``GET`` lists versions, newest first."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS, "POST": START_TURN}
    queries = {"GET": ListQuery}

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
        parameters = turn_parameters(
            epsilon=given["privacyEpsilon"], head=given["modelType"], requested=requested, deploy=given.get("deploy")
        )
        turn = turn_start(loop_version=version, parameters=parameters, actor=request.user.get_username())
        job = turn.stages.select_related("job").get().job
        answer = train_answer(turn, job, _notes(given, samples))
        return Response(answer, status=202, headers={"Location": f"/api/v1/jobs/{job.pk}"})

    @extend_schema(operation_id="v1_training_models_list", parameters=[ListQuery], responses={200: VersionsAnswer})
    def get(self, request: Request) -> Response:
        found = ModelVersion.objects.select_related("loop_version__loop").defer("weights")
        given = self.query
        _check_known_head(given.get("modelType"))
        for name, column in (("status", "state"), ("modelType", "head"), ("loop", "loop_version__loop__name")):
            if given.get(name):
                found = found.filter(**{column: given[name]})
        page = page_of_table(request, given, found.prefetch_related("metrics", "verdicts"))
        return Response(page_answer(page.next, [version_answer(v) for v in page.entries]))


def _check_head(version: LoopVersion, name: str) -> None:
    """Raise InputError that lists the loop's heads for a ``modelType`` that is none of them."""
    try:
        version.spec.head(name)
    except InputError as error:
        raise InputError(str(error), field="modelType") from None


def _check_known_head(name: str | None) -> None:
    """Raise InputError that lists the heads of all loops for a ``modelType`` that no loop has."""
    known = heads_known() if name else []
    if name and name not in known:
        raise InputError(
            f"no loop has a head {name!r}; the heads are {', '.join(known) or 'none yet'}", field="modelType"
        )


def _notes(given: dict[str, Any], samples: int) -> list[str]:
    """Return one sentence for each requested value that the turn changes or does not use."""
    notes = []
    if samples < FEWEST_STATES:
        notes.append(
            f"syntheticSamples was raised from {samples} to {FEWEST_STATES}, the smallest number that a fit needs"
        )
    unused = [name for name in ("learningRate", "batchSize") if name in given.get("hyperparams", {})]
    if unused:
        notes.append(
            f"{' and '.join(unused)}: stored with the turn but not used, because the trainer solves each sweep exactly"
        )
    return notes


def _version_in_path(name: str, given: dict[str, Any]) -> ModelVersion:
    """Return the version that the path names. Raises InputError when the body names another."""
    found = version_named(name)
    named = given.get("versionId")
    if named is not None and named not in (str(found.pk), found.name):
        raise InputError(
            f"versionId is {named[:40]!r}, but the address names {found.name}; send the same name, or leave it out",
            field="versionId",
        )
    return found


class ModelView(ApiView):
    """Show one version."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS}

    @extend_schema(responses={200: VersionAnswer})
    def get(self, request: Request, version: str) -> Response:
        return Response(version_answer(version_named(version)))


class EvaluationView(ApiView):
    """Show the outcome gate's verdict on a version. The gate reads people's own outcomes."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_VERSIONS}

    @extend_schema(responses={200: EvaluationAnswer})
    def get(self, request: Request, version: str) -> Response:
        found = version_named(version)
        verdict = last_verdict(found)
        if verdict is None:
            raise NotFound(f"{found} has not been evaluated yet; its turn evaluates it after training")
        return Response(evaluation_answer(verdict))


class DeployBody(StrictBody):
    versionId = TextField(required=False, help_text="If given, it must name the same version as the address.")
    overrideReason = TextField(
        required=False, max_length=LONGEST_REASON,
        help_text="Reason to deploy a version that was not judged against the deployed one. Stored permanently.",
    )  # fmt: skip
    deploymentType = OneOfField(
        choices=tuple(STRATEGIES), required=False,
        help_text="Default: what a turn would do by itself, which is a trial of a first or an undecided policy, and otherwise a "
        "full_rollout. A full_rollout of a version whose trial passed promotes it. In a shadow_test nobody gets its actions. "
        "In an apprentice rollout the app's own choices are served, and nobody gets its actions.",
    )  # fmt: skip
    trafficPercentage = NumberField(
        default=100.0, min_value=0.0, max_value=100.0,
        help_text="100, or the share of people in the first stage of a canary. Then the stages follow that the loop declares.",
    )  # fmt: skip


class DeployView(ApiView):
    """Deploy a version to everybody except the holdback, or begin to try it on some of the people."""

    permission_classes = (HasPermission,)
    may = {"POST": DEPLOY_VERSION}

    @extend_schema(request=DeployBody, responses={200: DeployAnswer})
    @idempotent
    def post(self, request: Request, version: str) -> Response:
        given = read_body(DeployBody, request)
        share = None if given["trafficPercentage"] == 100.0 else given["trafficPercentage"] / 100
        found, override = _version_in_path(version, given), given.get("overrideReason", "")
        if override and not request.user.has_perm(OVERRIDE_COMPARISON):
            raise Forbidden("your role does not allow overrideReason; ask an administrator for another role")
        done = deploy_by_hand(
            strategy=given.get("deploymentType"), version=found, actor=request.user.get_username(),
            reason="deployed by an operator", override=override, share=share,
        )  # fmt: skip
        return Response(deploy_answer(done))


class HealthView(ApiView):
    """Show the latest health check of a deployed version."""

    permission_classes = (HasPermission,)
    may = {"GET": VIEW_HEALTH}

    @extend_schema(responses={200: HealthAnswer})
    def get(self, request: Request, version: str) -> Response:
        found = version_named(version)
        check = HealthCheck.objects.filter(version=found).order_by("-id").first()
        if check is None:
            raise NotFound(f"{found} has no health check yet; deployed versions are checked every minute")
        return Response(health_answer(check))


class RollbackBody(StrictBody):
    versionId = TextField(required=False, help_text="If given, it must name the same version as the address.")
    reason = TextField(max_length=LONGEST_REASON)
    harmful = FlagField(default=False, help_text="True: the version caused harm. No later rollback returns to it.")


class RollbackView(ApiView):
    """Roll back a deployed version, or stop its trial."""

    permission_classes = (HasPermission,)
    may = {"POST": ROLLBACK_VERSION}

    @extend_schema(request=RollbackBody, responses={200: RollbackAnswer})
    @idempotent
    def post(self, request: Request, version: str) -> Response:
        given = read_body(RollbackBody, request)
        incident = version_rollback(
            version=_version_in_path(version, given),
            actor=request.user.get_username(),
            reason=given["reason"],
            harmful=given["harmful"],
        )
        return Response(rollback_answer(incident, serving_after(incident).name))


class UndoBody(StrictBody):
    reason = TextField(max_length=LONGEST_REASON)


class RollbackUndoView(ApiView):
    """Deploy a version again whose rollback was no harm, as long as nothing else was deployed since."""

    permission_classes = (HasPermission,)
    may = {"POST": ROLLBACK_VERSION}

    @extend_schema(request=UndoBody, responses={200: DeployAnswer})
    @idempotent
    def post(self, request: Request, version: str) -> Response:
        given = read_body(UndoBody, request)
        done = rollback_undo(
            incident=incident_of(version_named(version)), actor=request.user.get_username(), reason=given["reason"]
        )
        return Response(deploy_answer(done))
