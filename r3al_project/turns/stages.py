"""The stages of a turn, in order: one table that queue, job, sentence, progress and report take everything from.

Each stage is one call of one floor's service, computed outside a transaction, written by the job's end. A new stage is a function
(or a file) and one line of ``STAGES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction

from core.errors import Conflict
from core.registries import registry
from deployments.models import Deployment
from deployments.selectors.slots import explored_share, incumbents_of
from deployments.services.rollouts.exploration import exploration_settle
from deployments.services.rollouts.full import full_rollout
from deployments.services.rollouts.slots import slots_lock
from deployments.services.serving.dry_run import dry_run
from jobs.handlers import JobContext
from jobs.queues import MONITOR, PRIVACY, QUEUES, TRAIN
from loops.engine.heads import MAIN_HEAD
from privacy.models import Purpose, Release
from privacy.selectors.decisions import outcomes_waiting
from privacy.selectors.releases import epsilon_of_releases
from privacy.services.records.import_file import signals_import
from privacy.services.releases.moments import moments_release, releases_before
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.selectors import release_keys
from r3al_project.turns.sentences import (
    StageSummary,
    collect_sentence,
    deploy_sentence,
    evaluate_sentence,
    logging_sentence,
    release_sentence,
    synthesize_sentence,
    train_sentence,
)
from training.models import VERDICT_WORDS, ModelVersion, SyntheticJob
from training.services.gate import EvaluationPlan, versions_judge
from training.services.synthesize import pool_synthesize
from training.services.train import TrainOptions, heads_train

Write = Callable[[], dict[str, Any]]
STATES = 3_000


@dataclass(frozen=True)
class Stage:
    """One stage of a turn, whole. Raises ValueError for a queue that no worker serves, and for a part that is missing.

    run: computes, and returns the write that ends the job with the stage's summary. The last stage's summary holds
    ``deployed`` and ``reason``, which become the turn's.
    sentence: says a summary to people. brief: the summary's keys that fit on a line of the report.
    in_reason: whether the turn's reason repeats the sentence, so that a page which shows the one leaves out the other.
    """

    name: str
    queue: str
    run: Callable[[Turn, JobContext], Write]
    sentence: Callable[[StageSummary], str]
    brief: tuple[str, ...]
    in_reason: bool = False

    def __post_init__(self) -> None:
        if self.queue not in QUEUES:
            raise ValueError(f"stage {self.name!r} has the queue {self.queue!r}; take one of {QUEUES}")
        if not callable(self.run) or not callable(self.sentence) or not self.brief:
            raise ValueError(
                f"stage {self.name!r} needs something to run, a sentence, and keys for a line of the report"
            )

    @property
    def job_kind(self) -> str:
        """What its jobs are called."""
        return f"turn.{self.name}"


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
        return lambda: _release_summary(before[-1]) | {"note": "nothing new since this release: nobody was charged"}
    made = moments_release(
        key=key,
        loop_version=turn.loop_version,
        epsilon=turn.parameters["epsilon"],
        delta=turn.parameters["delta"],
        explored_share=explored_share(turn.loop_version),
        report=context.progress,
    )
    return lambda: _release_summary(made)


def _release_summary(made: Release) -> dict[str, Any]:
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
        options=TrainOptions(
            epochs=requested.get("epochs"), gamma=hyper.get("gamma"), exploration=hyper.get("epsilon")
        ),
        report=context.progress,
    )


def evaluate(turn: Turn, context: JobContext) -> Write:
    """Ask the outcome gate, on people who did not train; how long decisions take is measured as they are served."""
    versions = _versions(turn)
    return versions_judge(
        plan=EvaluationPlan(versions, incumbents_of(turn.loop_version), explored_share(turn.loop_version)),
        decide=dry_run(loop_version=turn.loop_version, versions=versions, seed=turn.parameters["seed"]),
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


def stage_table(*stages: Stage) -> dict[str, Stage]:
    """Stages by name, in the order in which a turn passes through them. Raises ValueError as ``registry`` does."""
    return registry("stage", *stages, longest=TurnStage._meta.get_field("name").max_length or 0)


STAGES = stage_table(
    Stage("collect", PRIVACY, collect, collect_sentence, ("rows", "added", "unchanged", "rejected", "note")),
    Stage("release", PRIVACY, release, release_sentence, ("users", "epsilon", "delta")),
    Stage("synthesize", TRAIN, synthesize, synthesize_sentence, ("rows", "features", "phi_width")),
    Stage(
        "train", TRAIN, train, train_sentence,
        ("recipe", "step", "model_gate_z", "model_gate_z_incumbent", "intervention_rate"),
    ),
    Stage("evaluate", PRIVACY, evaluate, evaluate_sentence, ("verdict", "attempt"), in_reason=True),
    Stage("deploy", MONITOR, deploy, deploy_sentence, ("deployed",)),
)  # fmt: skip


def stage_after(name: str) -> Stage | None:
    """The stage that follows one; None after the last."""
    order = list(STAGES.values())
    following = order.index(STAGES[name]) + 1
    return order[following] if following < len(order) else None


def stage_sentence(name: str, summary: StageSummary) -> str:
    """One sentence from a stage's summary; empty when the stage has not ended, or is of another version of this software."""
    return STAGES[name].sentence(summary) if summary and name in STAGES else ""


def stage_brief(name: str, summary: StageSummary) -> dict[str, Any]:
    """The few facts of a stage's summary that fit on a line, in the order declared."""
    keys = STAGES[name].brief if name in STAGES else ()
    return {key: summary[key] for key in keys if summary.get(key) is not None}


def versions_trained(stages: Iterable[TurnStage]) -> dict[str, int]:
    """Ids of the versions that a turn trained, by head; empty before it has."""
    return next((dict(s.summary.get("versions", {})) for s in stages if s.name == "train"), {})
