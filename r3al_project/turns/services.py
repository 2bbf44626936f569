"""Start, cancel and settle turns. Each stage is a job, and the transaction that ends it queues the next stage."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from core import clock
from core.errors import Conflict, InputError, NotFound, R3alError
from core.json_safe import json_safe
from jobs.models import Job, JobState
from jobs.services import job_cancel, job_enqueue
from loops.engine.spec import DEPLOY_MODES
from loops.intake.files import open_source
from loops.models import Loop, LoopVersion
from privacy.models import Purpose, Release, ReleaseState
from privacy.services.releases.lifecycle import calibration_asked
from privacy.services.releases.reservations import SettledCounts, reservation_end, reservations_settle
from r3al_project.turns.actors import SCHEDULE
from r3al_project.turns.limits import DEFAULT_EPSILON
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.readiness import turn_is_ready
from r3al_project.turns.recorded_turns import turn_record
from r3al_project.turns.selectors import release_keys, turn_due_at, turn_running
from r3al_project.turns.stage_protocol import Stage
from r3al_project.turns.stages import STAGES, stage_after
from r3al_project.turns.turn_notices import turn_tell
from training.engine.generators.registry import WORLD_MODEL, generator_named
from training.engine.trainers.registry import (
    CONTEXTUAL_BANDITS,
    FITTED_Q,
    head_trainer_named,
    policy_trainer_named,
)

log = logging.getLogger(__name__)
DELTA = 1e-5
_SEEDS = 2**63
LONGEST_ACTOR = 150
_FORGOTTEN = ("source", "override_propensities")  # once a turn is over: a path or a typed text may name people


def turn_parameters(
    *,
    epsilon: float = DEFAULT_EPSILON,
    delta: float = DELTA,
    seed: int = 1,
    head: str | None = None,
    generator: str = WORLD_MODEL,
    trainer: str = FITTED_Q,
    head_trainer: str = CONTEXTUAL_BANDITS,
    requested: Mapping[str, Any] | None = None,
    source: Path | None = None,
    consents: Sequence[str] = (),
    override_propensities: str = "",
    deploy: str | None = None,
) -> dict[str, Any]:
    """Check and return the parameters of a turn, before anything is written.

    Args:
        epsilon, delta: privacy parameters of the turn's two releases together, for a person who is in both.
        seed: of every random draw but the privacy noise, which has no seed.
        head: the only head that is trained and may be deployed (None: every head). One release covers all heads either way.
        generator, trainer, head_trainer: names in their registries; trainer is the policy head's.
        requested: the caller's options for the trainer (epochs, syntheticSamples, hyperparams), stored as given.
        source: a file of logged decisions to import first.
        consents: purposes that the people in the file consented to.
        deploy: "automatic" or "by hand" (None: as the loop declares).
        override_propensities: the reason for importing the file although its actions refute its propensities.
    Raises InputError.
    """
    calibration_asked(epsilon=epsilon, delta=delta)
    if not 0 <= seed < _SEEDS:
        raise InputError(f"seed {seed} must be a whole number from 0 to 2^63 - 1")
    if deploy is not None and deploy not in DEPLOY_MODES:
        raise InputError(f"deploy {deploy!r} is not known; use one of {', '.join(DEPLOY_MODES)}")
    return {
        "head": head,
        "epsilon": epsilon,
        "delta": delta,
        "seed": seed,
        "generator": generator_named(generator).name,
        "trainer": policy_trainer_named(trainer).name,
        "head_trainer": head_trainer_named(head_trainer).name,
        "deploy": deploy,
        "requested": dict(requested or {}),
    } | _source_parameters(source, consents, override_propensities)


def _source_parameters(source: Path | None, consents: Sequence[str], override_propensities: str) -> dict[str, Any]:
    """Check and return the parameters of the file to import, none without a file. Raises InputError."""
    if source is None:
        if consents:
            raise InputError("consents were given without a file of logged decisions; give the file too")
        if override_propensities:
            raise InputError("a reason to override propensities was given without a file; give the file too")
        return {}
    path = source.resolve()
    open_source(path)
    return {
        "source": str(path),
        "consents": [Purpose(c).value for c in consents],
        "override_propensities": override_propensities,
    }


@transaction.atomic
def turn_start(*, loop_version: LoopVersion, parameters: dict[str, Any], actor: str) -> Turn:
    """Start a turn and queue its first stage. The Trust Vault records who started it.

    parameters: the result of ``turn_parameters``. actor: an account's name, or one of ``r3al_project.turns.actors``.
    Raises InputError for a head that the loop lacks.
    Raises Conflict when a turn of any version of this loop is running. When two calls race, one succeeds.
    """
    if parameters["head"] is not None:
        loop_version.spec.head(parameters["head"])
    try:
        with transaction.atomic():
            turn = Turn.objects.create(
                loop=loop_version.loop, loop_version=loop_version, parameters=parameters, actor=actor[:LONGEST_ACTOR]
            )
    except IntegrityError:
        running = turn_running(loop=loop_version.loop) or f"a turn of {loop_version.loop}"
        raise Conflict(
            f"{running} is still running; wait for it, resume it (run_loop --resume), or cancel it (training dashboard)"
        ) from None
    _stage_enqueue(turn, next(iter(STAGES.values())))
    turn_record(turn, "started", turn.actor)
    return turn


def turn_resume(*, loop_version: LoopVersion) -> Turn:
    """Return the loop's running turn. Raises NotFound when no turn is running."""
    running = turn_running(loop=loop_version.loop)
    if running is None:
        raise NotFound(f"no turn of loop {loop_version.loop.name!r} is running; start one without --resume")
    return running


def stage_finish(*, turn: Turn, name: str, job: Job, write: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run a stage's write, store its summary, and queue the next stage or end the turn.

    A summary with ``nothing_new`` ends the turn early, with that sentence as its reason. The caller holds the transaction that
    finishes the job.
    """
    summary: dict[str, Any] = json_safe(write())
    seconds = (timezone.now() - job.started_at).total_seconds() if job.started_at else None
    TurnStage.objects.filter(turn=turn, name=name).update(summary=summary, seconds=seconds)
    following = stage_after(name)
    if "nothing_new" in summary:
        _turn_end(turn, Turn.Outcome.NOTHING_NEW, summary["nothing_new"])
    elif following is not None:
        _stage_enqueue(turn, following)
    else:
        _turn_end(turn, _outcome(summary), summary["reason"])
    return summary


def _outcome(summary: Mapping[str, Any]) -> Turn.Outcome:
    """Return the outcome of a turn from the summary of its last stage."""
    if summary["deployed"]:
        return Turn.Outcome.DEPLOYED
    return Turn.Outcome.WAITING if summary.get("waiting") else Turn.Outcome.KEPT


@dataclass(frozen=True)
class Cancelled:
    """The result of cancelling a turn. ``str()`` is one sentence.

    over: whether the turn has ended. If not, its stage ends at its next report of progress.
    """

    turn: Turn
    stage: str
    over: bool

    def __str__(self) -> str:
        if self.over:
            return f"{self.turn} is cancelled. Its stage {self.stage} wrote nothing."
        return f"{self.turn} is being cancelled. Its stage {self.stage} stops at its next report of progress and writes nothing."


def turn_cancel(*, turn: Turn, actor: str) -> Cancelled:
    """Cancel a turn at its current stage. Raises Conflict when the turn is over."""
    with transaction.atomic():
        stage = _stage_locked(turn)
        is_cancelled = job_cancel(job_id=stage.job_id, actor=actor)
        turn = turn_settle(turn=turn)
    if not is_cancelled:
        cancel_check(turn)
    return Cancelled(turn, stage.name, over=turn.outcome != Turn.Outcome.RUNNING)


def cancel_check(turn: Turn) -> None:
    """Raise Conflict for a turn that is over."""
    if turn.outcome != Turn.Outcome.RUNNING:
        raise Conflict(f"{turn} is over ({turn.outcome_text}); there is nothing to cancel")


def _stage_locked(turn: Turn) -> TurnStage:
    """Return the newest stage with its job's row locked, so that the stage cannot end before this transaction does.

    The transaction that ends a stage holds the same lock and creates the next stage. After waiting for the lock, a newer stage
    may exist, so the loop looks again.
    """
    while True:
        stage = turn.stages.order_by("-id")[0]
        Job.objects.select_for_update(no_key=True).get(pk=stage.job_id)
        if not turn.stages.filter(pk__gt=stage.pk).exists():
            return stage


def turn_settle(*, turn: Turn) -> Turn:
    """End a turn whose current job failed or was cancelled. Any other turn is left as it is.

    Its reserved releases end with it, because nobody will finish them: people are refunded unless noise was drawn.
    """
    stage = turn.stages.select_related("job").order_by("-id").first()
    if turn.outcome == Turn.Outcome.RUNNING and stage is not None and stage.job.state in _UNFINISHED:
        for release in Release.objects.filter(key__in=release_keys(turn), state=ReleaseState.RESERVED):
            reservation_end(release=release)
        _turn_end(turn, *_unfinished(turn, stage))
    turn.refresh_from_db()
    return turn


_UNFINISHED = (JobState.FAILED, JobState.CANCELLED)


def _unfinished(turn: Turn, stage: TurnStage) -> tuple[Turn.Outcome, str, str]:
    """Return outcome, reason and actor of a turn whose current job failed or was cancelled."""
    job = stage.job
    if job.state == JobState.FAILED:
        return Turn.Outcome.FAILED, f"{stage.name}: {job.error}", turn.actor
    actor = job.cancelled_by or "an operator"
    return Turn.Outcome.CANCELLED, f"{stage.name}: cancelled by {actor}", actor


def turns_settle() -> int:
    """Settle every running turn. Returns how many ended. Beat runs this."""
    running = Turn.objects.filter(outcome=Turn.Outcome.RUNNING)
    return sum(turn_settle(turn=turn).outcome != Turn.Outcome.RUNNING for turn in running)


def reservations_sweep() -> SettledCounts:
    """Settle abandoned releases of turns and anonymisations, but none of a running turn. Beat runs this."""
    running = Turn.objects.filter(outcome=Turn.Outcome.RUNNING)
    return reservations_settle(busy=[key for turn in running for key in release_keys(turn)])


def turns_due() -> list[Turn]:
    """Start a turn of every loop that is due by its schedule and could charge somebody. Returns the turns. Beat runs this."""
    started = []
    for loop in Loop.objects.all():
        version = loop.versions.order_by("-version").first()
        if version is not None and _is_due(version):
            try:
                parameters = turn_parameters(seed=secrets.randbelow(_SEEDS))
                if turn_is_ready(loop_version=version, parameters=parameters):
                    started.append(turn_start(loop_version=version, parameters=parameters, actor=SCHEDULE))
            except R3alError as error:
                log.warning("the scheduled turn of %s did not start: %s", version, error)
    return started


def _is_due(version: LoopVersion) -> bool:
    due_at = turn_due_at(version)
    return due_at is not None and turn_running(loop=version.loop) is None and clock.now() >= due_at


def _stage_enqueue(turn: Turn, stage: Stage) -> None:
    job = job_enqueue(kind=stage.job_kind, arguments={"turn": turn.pk}, key=f"turn-{turn.pk}-{stage.name}")
    TurnStage.objects.get_or_create(turn=turn, name=stage.name, defaults={"job": job})


@transaction.atomic
def _turn_end(turn: Turn, outcome: Turn.Outcome, reason: str, actor: str | None = None) -> None:
    """End a running turn once. ``actor``: who ended it (None: whoever started it)."""
    running = Turn.objects.filter(pk=turn.pk, outcome=Turn.Outcome.RUNNING)
    kept = {name: value for name, value in turn.parameters.items() if name not in _FORGOTTEN}
    if running.update(outcome=outcome, reason=reason, finished_at=clock.now(), parameters=kept):
        turn_tell(turn, outcome)
        turn_record(turn, outcome, turn.actor if actor is None else actor)
