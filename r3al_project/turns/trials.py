"""Run the part of a turn that concerns a trial: begin one for an undecided policy, judge it, end it or let it go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from django.db import transaction

from core.errors import Conflict
from core.sentences import sentence
from deployments.engine.rollouts.strategies import FULL_ROLLOUT, TRIAL
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.models import Deployment, ServingSlot
from deployments.selectors.slots import candidate_arm, slot_on_trial, trial_of, trial_span
from deployments.services.rollouts.candidate_arm import candidate_promote, candidate_stop
from deployments.services.rollouts.gate_standing import gate_standing
from deployments.services.rollouts.start import rollout_start, strategy_wanted
from deployments.services.serving.dry_run import decision_times, dry_run
from jobs.handlers import JobContext
from loops.engine.heads import MAIN_HEAD
from privacy.engine.turn_shares import judging_share
from privacy.models import Release
from r3al_project.turns.models import Turn
from r3al_project.turns.rollout_sentences import begun_sentence
from r3al_project.turns.selectors import release_keys
from r3al_project.turns.sentences import trial_sentence
from r3al_project.turns.stage_protocol import Write, summary_of
from training.models import ModelVersion
from training.selectors.evidence import losses_are_hidden, people_lacking, trial_has_passed
from training.selectors.versions import version_get
from training.services.gate import decision_latency
from training.services.trial import TrialArms, trial_gone, trial_judge, trial_waits

_HIDDEN_LOSSES = "No trial begins, because some people may have lost more than the evaluation can measure."


@dataclass(frozen=True)
class TrialEnd:
    """Hold what a turn did about a trial: nothing, or an event with its text and its version.

    event: started, continues, passed, stopped, waiting (it passed, and an operator deploys it), or gone (it had ended before the
    turn came to it). strategy: of the rollout that started.
    """

    event: str = ""
    version: int = 0
    look: int = 0
    text: str = ""
    deployed: dict[str, Deployment] = field(default_factory=dict)
    strategy: str = TRIAL

    def summary(self) -> dict[str, Any]:
        """Return the part of the stage's summary about the trial, and what waits for an operator. Empty without a trial."""
        if not self.event:
            return {}
        by = {} if self.strategy == TRIAL else {"strategy": self.strategy}
        told = {"trial": {"event": self.event, "version": self.version, "look": self.look} | by}
        waits = {"waiting": {MAIN_HEAD: {"version": self.version, "strategy": FULL_ROLLOUT}}}
        return told | (waits if self.event == "waiting" else {})


def judge_trial(turn: Turn, context: JobContext, slot: ServingSlot) -> Write:
    """Judge the version on trial with the turn's evaluation budget. A candidate of the turn itself is not evaluated.

    A trial that passed and waits for an operator is not read again.
    """
    trial, version = trial_of(slot), slot.candidate
    if trial is None or version is None:
        raise Conflict(f"the trial in the slot {slot} ended while the turn ran; run a new turn")
    if trial_has_passed(version):
        return trial_waits(version=version, newer=_newer(turn, version))
    decide = dry_run(loop_version=turn.loop_version, versions={MAIN_HEAD: version}, seed=turn.parameters["seed"])
    return trial_judge(
        arms=TrialArms(
            version=version,
            span=trial_span(trial, slot.generation),
            exploration=slot.exploration_bp / BASIS_POINTS,
            in_candidate=candidate_arm(slot),
        ),
        loop_version=turn.loop_version,
        newer=_newer(turn, version),
        latency=decision_latency(decision_times(decide)),
        epsilon=turn.parameters["epsilon"],
        delta=turn.parameters["delta"],
        share=_trial_share(turn),
        key=release_keys(turn)[1],
        report=context.progress,
    )


def _trial_share(turn: Turn) -> Fraction:
    """Return the part of the turn's budget that a trial's release spends: all of it if the turn has no training release."""
    trained = Release.objects.filter(key=release_keys(turn)[0]).exists()
    return judging_share(turn.loop_version.spec) if trained else Fraction(1)


def judge_gone_trial(turn: Turn, tried: int, release: Release | None = None) -> Write:
    """Leave a trial undecided that ended while the turn ran.

    Args:
        tried: id of the version that was on trial.
        release: the one that this turn's evaluate stage began before it was interrupted.
    """
    version = version_get(tried)
    return trial_gone(version=version, release=release, newer=_newer(turn, version))


def _newer(turn: Turn, tried: ModelVersion) -> ModelVersion | None:
    """Return the candidate that the turn itself trained, None if it trained none."""
    trained = summary_of(turn, "train")
    if "of_turn" in trained or trained["version"] == tried.pk:
        return None
    return version_get(trained["version"])


def begin_trial(turn: Turn, version: ModelVersion) -> TrialEnd:
    """Begin to try the turn's policy candidate on some of the people.

    It is tried if its evidence leaves it open, if it would be the first to serve, or if the loop rolls out what passed step by
    step.
    """
    if not is_to_be_tried(version):
        return TrialEnd(text=_why_no_trial(version))
    strategy = strategy_wanted(version)
    reason = "its evaluation left it undecided"
    if gate_standing(version).is_proven:
        reason = "it passed, and a first policy is tried" if strategy == TRIAL else "it passed"
    try:
        with transaction.atomic():
            made = rollout_start(strategy=strategy, version=version, actor=f"turn {turn.pk}", reason=reason)
    except Conflict as error:
        return TrialEnd(text=sentence(f"No trial: {error}"))
    text = trial_sentence("started", version.pk) if strategy == TRIAL else begun_sentence(made)
    return TrialEnd("started", version.pk, text=text, strategy=strategy)


def is_to_be_tried(version: ModelVersion) -> bool:
    """Tell whether a turn gives a policy to some of the people first, and not to everybody."""
    standing = gate_standing(version)
    if standing.asks_for_trial:
        return True
    return standing.is_proven and strategy_wanted(version, standing) != FULL_ROLLOUT


def _why_no_trial(version: ModelVersion) -> str:
    needed = people_lacking(version)
    if needed is not None:
        return f"No trial begins, because it needs about {needed:,.0f} people with outcomes to be read."
    return _HIDDEN_LOSSES if losses_are_hidden(version) else ""


def conclude_trial(turn: Turn, gate: dict[str, Any]) -> dict[str, Any]:
    """End the trial by the verdict that the turn's evaluation gave, or let it go on. Returns the deploy stage's summary."""
    end = _conclude(turn, gate)
    return {
        "deployed": bool(end.deployed),
        "deployments": {head: deployment.pk for head, deployment in end.deployed.items()},
        "versions": {head: deployment.version_id for head, deployment in end.deployed.items()},
        "reason": sentence(f"{end.text} {gate['reason']}"),
    } | end.summary()


def _conclude(turn: Turn, gate: dict[str, Any]) -> TrialEnd:
    trial, verdict, actor = gate["trial"], gate["verdict"], f"turn {turn.pk}"
    pk, look = trial["version"], trial["look"]
    slot = slot_on_trial(turn.loop)
    if slot is None or slot.candidate_id != pk:
        return TrialEnd("gone", pk, look, trial_sentence("gone", pk))
    if verdict == "pass" and turn.deploys_by_hand:
        return TrialEnd("waiting", pk, look, trial_sentence("waiting", pk))
    if verdict == "pass" and turn.parameters.get("head") in (None, MAIN_HEAD):
        made = candidate_promote(slot=slot, actor=actor, reason=gate["reason"])
        return TrialEnd("passed", pk, look, trial_sentence("passed", pk), {MAIN_HEAD: made})
    if verdict == "fail" or (verdict == "insufficient" and not trial["left"]):
        text = trial_sentence("stopped" if verdict == "fail" else "unproven", pk)
        candidate_stop(
            slot=slot,
            actor=actor,
            reason=sentence(f"{text} {gate['reason']}"),
            automatic=True,
            harmful=bool(trial["harmful"]),
        )
        return TrialEnd("stopped", pk, look, text)
    return TrialEnd("continues", pk, look, trial_sentence("continues", pk, left=trial["left"]))
