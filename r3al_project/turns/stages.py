"""What each stage of a turn does: one call of one floor's service, computed outside a transaction, written by the job's end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import transaction

from deployments.models import Deployment
from deployments.selectors import explored_share, incumbents_of
from deployments.services.deploy import full_rollout
from deployments.services.exploration import exploration_settle
from deployments.services.rehearsal import rehearsal
from deployments.services.slots import slots_lock
from loops.engine.heads import MAIN_HEAD
from privacy.models import Purpose, Release
from privacy.selectors import outcomes_waiting
from privacy.selectors_release import epsilon_of_releases
from privacy.services.collect import signals_import
from privacy.services.moments import moments_release, releases_before
from r3al_project.common.errors import Conflict
from r3al_project.jobs.handlers import JobContext
from r3al_project.turns.models import Turn
from r3al_project.turns.services import release_keys
from r3al_project.turns.words import logging_sentence
from training.models import VERDICT_WORDS, ModelVersion, SyntheticJob
from training.services.gate import Judging, versions_judge
from training.services.synthesize import pool_synthesize
from training.services.train import Asked, heads_train

Write = Callable[[], dict[str, Any]]
STATES = 3_000


def collect(turn: Turn, context: JobContext) -> Write:
    """Read the source file, when there is one; what a killed reading left is completed, not doubled."""
    source = turn.parameters.get("source")
    if source is None:
        return lambda: {"note": "no file given: the turn uses what the vault holds"}
    report = signals_import(
        path=Path(source),
        loop_version=turn.loop_version,
        consents=[Purpose(p) for p in turn.parameters["consents"]],
        progress=context.progress,
    )
    return report.as_dict


def release(turn: Turn, context: JobContext) -> Write:
    """Release the joint moments of the people who train, over what no release has read. Where nothing is new, nobody is
    charged and the turn works with what was released before.
    """
    key, _ = release_keys(turn)
    before = releases_before(loop_version=turn.loop_version)
    begun = Release.objects.filter(key=key).exists()
    if before and not begun and not outcomes_waiting(loop_version=turn.loop_version):
        return lambda: _told(before[-1]) | {"note": "nothing new since this release: nobody was charged"}
    made = moments_release(
        key=key,
        loop_version=turn.loop_version,
        epsilon=turn.parameters["epsilon"],
        delta=turn.parameters["delta"],
        explored_share=explored_share(turn.loop_version),
        report=context.progress,
    )
    return lambda: _told(made)


def _told(made: Release) -> dict[str, Any]:
    composed = epsilon_of_releases([made.pk, *made.parameters.get("earlier", [])], delta=made.formal_delta or 0.0)
    return {
        "release": made.pk,
        "epsilon": made.formal_epsilon,
        "delta": made.formal_delta,
        "unit": made.unit,
        "users": round(made.noisy_users or 0.0),
        "guarantee": made.guarantee,
        "rounds": 1 + len(made.parameters.get("earlier", [])),
        "composed_epsilon": composed,
    }


def synthesize(turn: Turn, context: JobContext) -> Write:
    """Draw synthetic transitions into the pool."""
    requested = turn.parameters.get("requested", {})
    return pool_synthesize(
        release=_release(turn),
        seed=turn.parameters["seed"],
        states=int(requested.get("syntheticSamples") or STATES),
        job_id=context.job_id,
    )


def train(turn: Turn, context: JobContext) -> Write:
    """Train a candidate a head and ask the model gates, against the reference and against what serves now."""
    requested = turn.parameters.get("requested", {})
    hyper = requested.get("hyperparams") or {}
    return heads_train(
        release=_release(turn),
        synthetic_job=SyntheticJob.objects.get(pk=_summary(turn, "synthesize")["synthetic_job"]),
        seed=turn.parameters["seed"],
        incumbents=incumbents_of(turn.loop_version),
        asked=Asked(epochs=requested.get("epochs"), gamma=hyper.get("gamma"), exploration=hyper.get("epsilon")),
        report=context.progress,
    )


def evaluate(turn: Turn, context: JobContext) -> Write:
    """Ask the outcome gate, on people who did not train; how long decisions take is measured as they are served."""
    versions = _versions(turn)
    return versions_judge(
        judging=Judging(versions, incumbents_of(turn.loop_version), explored_share(turn.loop_version)),
        decide=rehearsal(loop_version=turn.loop_version, versions=versions, seed=turn.parameters["seed"]),
        epsilon=turn.parameters["epsilon"],
        delta=turn.parameters["delta"],
        key=release_keys(turn)[1],
        report=context.progress,
    )


def deploy(turn: Turn, context: JobContext) -> Write:
    """Put every head whose gate passed in front of everybody; otherwise what serves goes on serving.

    Policy comes first: the others are deployed only where policy, which makes them speak, has learned to.
    """
    gate, versions = _summary(turn, "evaluate"), _versions(turn)
    verdicts = {MAIN_HEAD: gate, **gate.get("heads", {})}
    wanted = turn.parameters.get("head")
    passed = [h for h in versions if verdicts[h]["verdict"] == "pass" and wanted in (None, h)]

    def write() -> dict[str, Any]:
        slots_lock(turn.loop)
        done, held = dict[str, Deployment](), list[str]()
        for head in (h.name for h in turn.loop_version.spec.heads_main_first if h.name in passed):
            try:
                with transaction.atomic():
                    reason = verdicts[head]["reason"]
                    done[head] = full_rollout(version=versions[head], actor=f"turn {turn.pk}", reason=reason)
            except Conflict as error:
                held.append(f"Not deployed: {error}.")
        settled = exploration_settle(loop_version=turn.loop_version, turns=_turns(turn))
        return {
            "deployed": bool(done),
            "deployments": {h: d.pk for h, d in done.items()},
            "versions": {h: d.version_id for h, d in done.items()},
            "reason": " ".join([_reason(turn, verdicts, list(done)), *held]),
            "exploration": settled,
        }

    return write


def _reason(turn: Turn, verdicts: dict[str, Any], done: list[str]) -> str:
    """Why this ended as it did; where policy did not pass also what exploring costs people meanwhile."""
    main = verdicts[MAIN_HEAD]
    if done:
        return f"{', '.join(done)}: {verdicts[done[0]]['reason']}"
    cost = _summary(turn, "train").get("logging_cost") if main["verdict"] != "pass" else None
    said = f"{VERDICT_WORDS[main['verdict']]}: {main['reason']}"
    return f"{said} {logging_sentence(turn.loop_version.spec, cost)}" if cost else said


HANDLERS: dict[str, Callable[[Turn, JobContext], Write]] = {
    "collect": collect,
    "release": release,
    "synthesize": synthesize,
    "train": train,
    "evaluate": evaluate,
    "deploy": deploy,
}


def _summary(turn: Turn, stage: str) -> dict[str, Any]:
    found = turn.stages.filter(name=stage).first()
    if found is None or not found.summary:
        raise Conflict(f"{turn} has no finished stage {stage!r}; run a new turn")
    return dict(found.summary)


def _release(turn: Turn) -> Release:
    return Release.objects.select_related("loop_version__loop").get(pk=_summary(turn, "release")["release"])


def _versions(turn: Turn) -> dict[str, ModelVersion]:
    made = _summary(turn, "train")["versions"]
    found = ModelVersion.objects.select_related("loop_version__loop").in_bulk(made.values())
    return {head: found[pk] for head, pk in made.items()}


def _turns(turn: Turn) -> int:
    return Turn.objects.filter(loop=turn.loop_id, pk__lte=turn.pk).count()
