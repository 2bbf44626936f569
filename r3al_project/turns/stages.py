"""What each stage of a turn does: one call of one floor's service, computed outside a transaction, written by the job's end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from deployments.services.deploy import full_rollout
from privacy.models import Purpose, Release
from privacy.services.collect import signals_import
from privacy.services.moments import moments_release
from r3al_project.common.errors import Conflict
from r3al_project.jobs.handlers import JobContext
from r3al_project.turns.models import Turn
from training.models import ModelVersion, SyntheticJob
from training.services.gate import version_judge
from training.services.synthesize import pool_synthesize
from training.services.train import policy_train

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
    """Release the moments of the people who train."""
    made = moments_release(
        key=f"turn-{turn.pk}-release",
        loop_version=turn.loop_version,
        head=turn.parameters["head"],
        epsilon=turn.parameters["epsilon"],
        delta=turn.parameters["delta"],
        report=context.progress,
    )
    return lambda: {
        "release": made.pk,
        "epsilon": made.formal_epsilon,
        "delta": made.formal_delta,
        "unit": made.unit,
        "users": round(made.noisy_users or 0.0),
        "guarantee": made.guarantee,
    }


def synthesize(turn: Turn, context: JobContext) -> Write:
    """Draw synthetic transitions into the pool."""
    return pool_synthesize(
        release=Release.objects.get(pk=_summary(turn, "release")["release"]),
        seed=turn.parameters["seed"],
        states=STATES,
        job_id=context.job_id,
    )


def train(turn: Turn, context: JobContext) -> Write:
    """Train a candidate and ask the model gate."""
    return policy_train(
        release=Release.objects.get(pk=_summary(turn, "release")["release"]),
        synthetic_job=SyntheticJob.objects.get(pk=_summary(turn, "synthesize")["synthetic_job"]),
        seed=turn.parameters["seed"],
        report=context.progress,
    )


def evaluate(turn: Turn, context: JobContext) -> Write:
    """Ask the outcome gate, on people who did not train."""
    return version_judge(
        version=_version(turn),
        epsilon=turn.parameters["epsilon"],
        delta=turn.parameters["delta"],
        key=f"turn-{turn.pk}-evaluate",
        report=context.progress,
    )


def deploy(turn: Turn, context: JobContext) -> Write:
    """Put the candidate in front of everybody when the gate passed; otherwise what serves goes on serving."""
    gate = _summary(turn, "evaluate")
    if gate["verdict"] != "pass":
        return lambda: {"deployed": False, "reason": f"{gate['verdict']}: {gate['reason']}"}

    def write() -> dict[str, Any]:
        done = full_rollout(version=_version(turn), actor=f"turn {turn.pk}", reason=gate["reason"])
        return {"deployed": True, "deployment": done.pk, "version": done.version_id, "reason": gate["reason"]}

    return write


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


def _version(turn: Turn) -> ModelVersion:
    return ModelVersion.objects.select_related("loop_version__loop").get(pk=_summary(turn, "train")["version"])
