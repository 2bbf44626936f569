"""Deploy a version by hand, and settle the turn that left it to an operator."""

from __future__ import annotations

from django.db import transaction

from core.sentences import sentence
from deployments.engine.rollouts.strategies import FULL_ROLLOUT
from deployments.models import Deployment
from deployments.services.rollouts.start import rollout_start, strategy_wanted
from r3al_project.turns.models import Turn
from r3al_project.turns.recorded_turns import turn_record
from r3al_project.turns.rollout_sentences import DONE
from r3al_project.turns.selectors import left_to_operators, still_waits
from training.models import ModelVersion


@transaction.atomic
def deploy_by_hand(
    *,
    version: ModelVersion,
    actor: str,
    reason: str,
    strategy: str | None = None,
    override: str = "",
    share: float | None = None,
) -> Deployment:
    """Deploy a version, begin to try it, or promote it after its trial.

    A turn that waited for this has the outcome that it would have had by itself, once none of its versions waits any more.

    Args:
        strategy: a rollout strategy (None: the one that a turn would choose).
        override, share: as in ``rollout_start``.
    Raises: InputError and Conflict, as ``rollout_start``.
    """
    chosen = strategy or strategy_wanted(version)
    made = rollout_start(strategy=chosen, version=version, actor=actor, reason=reason, override=override, share=share)
    for turn in Turn.objects.select_for_update().filter(loop=version.loop_version.loop, outcome=Turn.Outcome.WAITING):
        if version.pk in [item["version"] for item in left_to_operators(turn).values()]:
            _settle(turn, made, actor)
    return made


def _settle(turn: Turn, made: Deployment, actor: str) -> None:
    is_tried = made.strategy != FULL_ROLLOUT
    done = f"{actor} {DONE[made.strategy]} {made.version.name}"
    left = ModelVersion.objects.filter(pk__in=[item["version"] for item in left_to_operators(turn).values()])
    if not any(still_waits(version) for version in left):
        turn.outcome = Turn.Outcome.KEPT if is_tried else Turn.Outcome.DEPLOYED
    turn.reason = f"{turn.reason} {sentence(done)}"
    turn.save(update_fields=["outcome", "reason"])
    turn_record(turn, turn.outcome, actor)
