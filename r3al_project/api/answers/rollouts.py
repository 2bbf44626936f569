"""Build answers about rollouts: how far each one is, what its verdicts said, and what it waits for."""

from __future__ import annotations

from rest_framework import serializers

from deployments.engine.rollouts.strategies import STRATEGIES
from deployments.engine.rollouts.verdict import WORST_FIRST
from deployments.models import Deployment, DeploymentState, RolloutCheck
from deployments.selectors.rollouts import progress_of, shows_figures
from r3al_project.api.answers.shape import Answer, PageAnswer, Shape, camel_keys, nullable_number
from r3al_project.turns.rollout_progress import next_step
from training.models import version_name

ROLLOUT_STATES = tuple(DeploymentState.values)
WAITS_FOR = ("advance", "promote")
_SHOWN_FIGURES = ("conditions", "signals", "triggers", "reward", "share")
_SLOT_BEFORE = ("holdback", "holdback_bp", "rotates")  # of the slot before the rollout, kept to go back to


class RolloutCheckAnswer(Shape):
    """One stored verdict on a rollout."""

    checkId = serializers.IntegerField()
    createdAt = serializers.DateTimeField()
    stage = serializers.IntegerField(min_value=1)
    closedWeeks = serializers.IntegerField(help_text="Whole weeks of the stage of which every outcome was closed.")
    step = serializers.ChoiceField(choices=WORST_FIRST, help_text="What the verdict says to do.")
    label = serializers.CharField(allow_blank=True, help_text="What is known of the version, in a few words.")
    reasons = serializers.ListField(child=serializers.CharField())
    acted = serializers.BooleanField(
        help_text="Whether the verdict was carried out, or an operator was asked to approve it."
    )
    figures = serializers.DictField(
        allow_null=True,
        help_text="The numbers behind the verdict. Null: fewer than ten people of an arm have closed outcomes. "
        "Those of an apprenticeship are own, without, imitation and gain.",
    )


def rollout_check_answer(check: RolloutCheck) -> Answer:
    """Build one stored verdict."""
    return {
        "checkId": check.pk, "createdAt": check.created_at, "stage": check.stage + 1, "closedWeeks": check.closed_weeks,
        "step": check.step, "label": check.label, "reasons": check.reasons, "acted": check.acted,
        "figures": _figures(check),
    }  # fmt: skip


def _figures(check: RolloutCheck) -> Answer | None:
    if "imitation" in check.figures:  # of an apprenticeship, whose figures are those of ten people or more
        own, imitation = check.figures, check.figures["imitation"]
        shares = {"overall": imitation["overall"], "byAction": imitation["by_action"]}
        return {"own": own["own"], "without": own["without"], "imitation": shares, "gain": camel_keys(own["gain"])}
    if not shows_figures(check):
        return None
    shown: Answer = camel_keys({name: value for name, value in check.figures.items() if name in _SHOWN_FIGURES})
    return shown


class RolloutAnswer(Shape):
    rolloutId = serializers.IntegerField(help_text="The deploymentId of the answer that started it.")
    versionId = serializers.CharField()
    previousVersionId = serializers.CharField(allow_null=True, help_text="The version that was deployed when it began.")
    loop = serializers.CharField()
    modelType = serializers.CharField()
    strategy = serializers.ChoiceField(choices=tuple(STRATEGIES))
    state = serializers.ChoiceField(choices=ROLLOUT_STATES)
    stage = serializers.IntegerField(min_value=1)
    stages = serializers.ListField(
        child=serializers.FloatField(),
        help_text="Shares of the people, stage by stage. Everybody follows after the last one.",
    )
    share = nullable_number(help_text="Share of the people who have the version now. Null: the rollout has ended.")
    closedWeeks = serializers.IntegerField(help_text="Whole weeks of this stage of which every outcome is closed.")
    dueWeeks = serializers.IntegerField(
        allow_null=True, help_text="Whole weeks that this stage lasts. Null: it has none."
    )
    extended = serializers.IntegerField(help_text="How often this stage was extended.")
    waitsFor = serializers.ChoiceField(
        choices=WAITS_FOR, allow_null=True, help_text="What an operator is asked to approve."
    )
    nextStep = serializers.CharField(help_text="A sentence for people.")
    deadline = serializers.DateTimeField(allow_null=True, help_text="When it ends even if it has proved nothing.")
    terms = serializers.DictField(help_text="The terms that it was started with. Their names depend on the strategy.")
    lastVerdict = RolloutCheckAnswer(allow_null=True)
    harmful = serializers.BooleanField(help_text="True: it ended for harm, and is never tried again.")
    reason = serializers.CharField(allow_blank=True)
    startedBy = serializers.CharField(allow_blank=True)
    startedAt = serializers.DateTimeField()
    finishedAt = serializers.DateTimeField(allow_null=True)


def rollout_answer(rollout: Deployment, last: RolloutCheck | None) -> Answer:
    """Build a rollout with its progress. ``last``: its last stored verdict."""
    progress = progress_of(rollout)
    terms = {name: value for name, value in rollout.frozen_policy.items() if name not in _SLOT_BEFORE}
    return {
        "rolloutId": rollout.pk,
        "versionId": version_name(rollout.version_id),
        "previousVersionId": version_name(rollout.previous_id) if rollout.previous_id else None,
        "loop": rollout.slot.loop.name,
        "modelType": rollout.slot.head,
        "strategy": rollout.strategy,
        "state": rollout.state,
        "stage": rollout.stage + 1,
        "stages": list(progress.stages),
        "share": progress.share,
        "closedWeeks": progress.closed,
        "dueWeeks": progress.due or None,
        "extended": rollout.extended,
        "waitsFor": rollout.waits_for or None,
        "nextStep": next_step(rollout, progress, last),
        "deadline": rollout.deadline_at,
        "terms": camel_keys(terms),
        "lastVerdict": rollout_check_answer(last) if last is not None else None,
        "harmful": rollout.harmful,
        "reason": rollout.reason,
        "startedBy": rollout.actor,
        "startedAt": rollout.created_at,
        "finishedAt": rollout.finished_at,
    }


class RolloutsAnswer(PageAnswer):
    results = RolloutAnswer(many=True)


class RolloutChecksAnswer(PageAnswer):
    results = RolloutCheckAnswer(many=True)
