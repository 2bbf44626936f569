"""Declare the stages of a turn, in order. Queues, jobs, sentences, progress and reports all read this one table.

A stage computes outside a transaction and returns a write, which the end of its job commits. A new stage takes one file and
one line of ``STAGES``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.errors import BudgetExceeded, InsufficientData, R3alError
from core.sentences import sentence
from core.variant_registry import registry
from deployments.selectors.slots import explored_share, incumbents_of, slot_on_trial
from deployments.services.serving.dry_run import decision_times, dry_run
from jobs.handlers import JobContext
from jobs.queues import MONITOR, PRIVACY, TRAIN
from privacy.models import Purpose, Release, ReleaseState
from privacy.selectors.releases import loop_account
from privacy.services.records.import_file import signals_import
from privacy.services.releases.moments import moments_release, releases_before
from privacy.services.releases.trial import TRIAL_KIND
from r3al_project.turns.deploy_stage import deploy, versions_of_turn
from r3al_project.turns.limits import UNREQUESTED_STATES
from r3al_project.turns.models import Turn, TurnStage
from r3al_project.turns.readiness import nothing_to_train
from r3al_project.turns.reuse import summary_reused
from r3al_project.turns.selectors import release_keys
from r3al_project.turns.sentences import (
    StageSummary,
    collect_sentence,
    deploy_sentence,
    evaluate_sentence,
    release_sentence,
    synthesize_sentence,
    train_sentence,
)
from r3al_project.turns.stage_protocol import Stage, Write, summary_of
from r3al_project.turns.trials import judge_gone_trial, judge_trial
from training.engine.generators.registry import WORLD_MODEL
from training.engine.trainers.registry import CONTEXTUAL_BANDITS, FITTED_Q
from training.models import SyntheticJob
from training.services.gate import EvaluationPlan, decision_latency, evaluation_ask, versions_judge
from training.services.synthesize import pool_synthesize
from training.services.train import TrainOptions, heads_train


def collect(turn: Turn, context: JobContext) -> Write:
    """Import the source file, if there is one. A retry completes an interrupted import and adds no row twice."""
    source = turn.parameters.get("source")
    if source is None:
        return lambda: {"note": "no file was given: the turn uses the records already stored"}
    path = Path(source)
    try:
        report = signals_import(
            path=path,
            loop_version=turn.loop_version,
            consents=[Purpose(p) for p in turn.parameters["consents"]],
            override_propensities=turn.parameters.get("override_propensities", ""),
            progress=context.progress,
        )
    except R3alError as error:  # the job and the turn keep the reason for ever, and a file's name may name people
        raise type(error)(str(error).replace(source, "the file").replace(path.name, "the file")) from None
    return report.as_record


def release(turn: Turn, context: JobContext) -> Write:
    """Release the joint moments of the training people's outcomes that no release has read.

    While a version is on trial, the outcomes wait for a later turn, because the trial is judged with the whole budget of this
    one. If the charge takes nobody and there was a release before, the turn goes on with that one, or ends: training on it again
    would only repeat what was judged.
    """
    key, _ = release_keys(turn)
    earlier = [r for r in releases_before(loop_version=turn.loop_version) if r.key != key]
    slot = slot_on_trial(turn.loop)
    if earlier and slot is not None and not Release.objects.filter(key=key).exists():
        return lambda: {"release": earlier[-1].pk, "note": _ON_TRIAL, "on_trial": slot.candidate_id}
    try:
        made = moments_release(
            key=key,
            loop_version=turn.loop_version,
            epsilon=turn.parameters["epsilon"],
            delta=turn.parameters["delta"],
            explored_share=explored_share(turn.loop_version),
            report=context.progress,
        )
    except (BudgetExceeded, InsufficientData) as refusal:
        if not earlier:
            raise
        return _without_release(turn, earlier[-1], str(refusal))
    return lambda: _release_summary(made)


def _without_release(turn: Turn, last: Release, refusal: str) -> Write:
    """Go on with the last release, because the charge took nobody; or end the turn if there is nothing new to train.

    The summary repeats no number of that release, because this turn did not pay for it.
    """
    summary = {"release": last.pk, "note": sentence(f"Nothing new was released: {refusal}")}
    if nothing_to_train(release=last, head=turn.parameters.get("head")):
        summary |= {"nothing_new": sentence(f"Nothing new, so no version was trained: {refusal}")}
    return lambda: summary


_ON_TRIAL = "A version is on trial, which is judged with the whole budget of the turn. Nobody was charged for training."


def _release_summary(made: Release) -> dict[str, Any]:
    return {
        "release": made.pk,
        "epsilon": made.formal_epsilon,
        "delta": made.formal_delta,
        "unit": made.unit,
        "users": round(made.noisy_users or 0.0),
        "guarantee": made.guarantee,
        "rounds": 1 + len(made.parameters.get("earlier", [])),
    } | _paid_summary(made)


def _paid_summary(made: Release) -> dict[str, Any]:
    """Return what one person can have paid for all releases of the loop up to this one."""
    account = loop_account(made)
    return {"loop": {"releases": account.releases, "epsilon": account.epsilon, "delta": account.delta}}


def synthesize_rows(turn: Turn, context: JobContext) -> Write:
    """Draw synthetic transitions from the released world model into the pool, unless the turn trains nothing."""
    reused = summary_reused(turn, "synthesize")
    if reused is not None:
        return lambda: reused
    requested = turn.parameters.get("requested", {})
    return pool_synthesize(
        release=_release(turn),
        seed=turn.parameters["seed"],
        states=int(requested.get("syntheticSamples") or UNREQUESTED_STATES),
        job_id=context.job_id,
        generator=turn.parameters.get("generator", WORLD_MODEL),  # a turn that began under an older version names none
    )


def train(turn: Turn, context: JobContext) -> Write:
    """Train one candidate per head, or that of the only head asked for. Model gates compare each with what it would replace.

    A turn without a release of its own takes over the versions that were trained on the last one and were not judged yet.
    """
    reused = summary_reused(turn, "train")
    if reused is not None:
        return lambda: reused
    requested = turn.parameters.get("requested", {})
    hyper = requested.get("hyperparams") or {}
    return heads_train(
        release=_release(turn),
        synthetic_job=SyntheticJob.objects.get(pk=summary_of(turn, "synthesize")["synthetic_job"]),
        seed=turn.parameters["seed"],
        incumbents=incumbents_of(turn.loop_version),
        options=TrainOptions(
            epochs=requested.get("epochs"),
            gamma=hyper.get("gamma"),
            exploration=hyper.get("epsilon"),
            trainer=turn.parameters.get("trainer", FITTED_Q),
            head_trainer=turn.parameters.get("head_trainer", CONTEXTUAL_BANDITS),
            head=turn.parameters.get("head"),
        ),
        report=context.progress,
    )


def evaluate(turn: Turn, context: JobContext) -> Write:
    """Judge, and state anew what one person can have paid for the loop if people were charged for it."""
    write = _judge(turn, context)

    def judged() -> dict[str, Any]:
        summary = write()
        charged = Release.objects.filter(key=release_keys(turn)[1]).exclude(state=ReleaseState.REFUNDED).first()
        return summary if charged is None else summary | _paid_summary(charged)

    return judged


def _judge(turn: Turn, context: JobContext) -> Write:
    """Judge the candidates by the outcome gate. While a version is on trial, judge the trial instead.

    A dry run measures the decision time. A retry goes on with what people were charged for, if a trial began or ended meanwhile.
    """
    slot = slot_on_trial(turn.loop)
    begun = Release.objects.filter(key=release_keys(turn)[1]).first()
    tried = summary_of(turn, "release").get("on_trial")
    if begun is None and tried is not None and (slot is None or slot.candidate_id != tried):
        return judge_gone_trial(turn, tried)
    if begun is None or begun.parameters["kind"] == TRIAL_KIND:
        if begun is not None and (slot is None or slot.candidate_id != begun.parameters["version"]):
            return judge_gone_trial(turn, begun.parameters["version"], begun)
        if slot is not None:
            return judge_trial(turn, context, slot)
    versions = versions_of_turn(turn)
    # A version that cannot serve raises here, before anybody is charged. Without an answer from people nothing is timed.
    decide = dry_run(loop_version=turn.loop_version, versions=versions, seed=turn.parameters["seed"])
    evaluation = evaluation_ask(
        plan=EvaluationPlan(versions, incumbents_of(turn.loop_version), explored_share(turn.loop_version)),
        epsilon=turn.parameters["epsilon"],
        delta=turn.parameters["delta"],
        key=release_keys(turn)[1],
        report=context.progress,
    )
    if not evaluation.needs_latency:
        return versions_judge(evaluation=evaluation, latency=None)
    context.progress(0.9, "timing decisions")
    return versions_judge(evaluation=evaluation, latency=decision_latency(decision_times(decide)))


def _release(turn: Turn) -> Release:
    return Release.objects.select_related("loop_version__loop").get(pk=summary_of(turn, "release")["release"])


def stage_table(*stages: Stage) -> dict[str, Stage]:
    """Return the stages by name, in the order in which a turn runs them.

    Raises ValueError for a name that is malformed, too long or given twice.
    """
    return registry("stage", *stages, longest=TurnStage._meta.get_field("name").max_length or 0)


STAGES = stage_table(
    Stage("collect", PRIVACY, collect, collect_sentence, ("rows", "added", "joined", "unchanged", "rejected", "note")),
    Stage("release", PRIVACY, release, release_sentence, ("users", "epsilon", "delta")),
    Stage("synthesize", TRAIN, synthesize_rows, synthesize_sentence, ("samples", "rows", "features", "phi_width")),
    Stage(
        "train", TRAIN, train, train_sentence,
        ("recipe", "step", "model_gate_z", "model_gate_z_incumbent", "intervention_rate"),
    ),
    Stage("evaluate", PRIVACY, evaluate, evaluate_sentence, ("verdict", "attempt"), in_reason=True),
    Stage("deploy", MONITOR, deploy, deploy_sentence, ("deployed", "exploration")),
)  # fmt: skip
STAGE_NAMES = tuple(STAGES)


def stage_after(name: str) -> Stage | None:
    """Return the stage after the named one. None after the last."""
    order = list(STAGES.values())
    following = order.index(STAGES[name]) + 1
    return order[following] if following < len(order) else None


def stage_sentence(name: str, summary: StageSummary) -> str:
    """Return a stage's summary as one sentence.

    Empty if the stage has not ended, or if another version of this software declared it.
    """
    return STAGES[name].sentence(summary) if summary and name in STAGES else ""


def stage_brief(name: str, summary: StageSummary) -> dict[str, Any]:
    """Return the facts of a stage's summary that the report shows on one line, in declared order.

    What a stage took over from an earlier turn is not repeated.
    """
    if "of_turn" in summary:
        return {"of_turn": summary["of_turn"]}
    if "note" in summary:
        return {"note": summary["note"]}
    keys = STAGES[name].brief if name in STAGES else ()
    return {key: summary[key] for key in keys if summary.get(key) is not None}


def versions_trained(stages: Iterable[TurnStage]) -> dict[str, int]:
    """Return the ids of the versions that a turn trained, by head. Empty before its train stage has ended."""
    return next((dict(s.summary.get("versions", {})) for s in stages if s.name == "train"), {})
