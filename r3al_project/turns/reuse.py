"""Reuse the versions of an earlier turn, when a turn has no release of its own to train on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments.selectors.slots import incumbents_of
from privacy.models import Release
from r3al_project.turns.models import Turn
from r3al_project.turns.selectors import release_keys
from r3al_project.turns.stage_protocol import summary_of
from training.models import ModelVersion
from training.services.gate import EvaluationPlan


def turn_reused(turn: Turn) -> Turn | None:
    """Return the earlier turn whose versions this one takes over, or None if it trains its own.

    That is the last turn that trained on the same release. While a version is on trial nothing is trained on a release again.
    Otherwise the earlier versions must be of the heads that this turn would train, and must be to beat the present incumbents.
    """
    release = summary_of(turn, "release")
    if Release.objects.filter(pk=release["release"], key=release_keys(turn)[0]).exists():
        return None
    trained = Turn.objects.filter(stages__name="train", stages__summary__has_key="versions", loop=turn.loop)
    for earlier in trained.filter(pk__lt=turn.pk).order_by("-pk").distinct():
        versions = _versions_of(earlier)
        if all(version.releases.filter(pk=release["release"]).exists() for version in versions.values()):
            return earlier if "on_trial" in release or _fits(turn, versions) else None
    return None


def _versions_of(turn: Turn) -> dict[str, ModelVersion]:
    ids: dict[str, int] = summary_of(turn, "train")["versions"]
    found = ModelVersion.objects.select_related("loop_version__loop", "parent").in_bulk(ids.values())
    return {head: found[pk] for head, pk in ids.items() if pk in found}


def _fits(turn: Turn, versions: Mapping[str, ModelVersion]) -> bool:
    wanted = turn.parameters.get("head")
    heads = set(turn.loop_version.spec.head_names) if wanted is None else {wanted}
    plan = EvaluationPlan(versions, incumbents_of(turn.loop_version), 1.0)
    return set(versions) == heads and not any(plan.outdated(head) for head in versions)


def summary_reused(turn: Turn, stage: str) -> dict[str, Any] | None:
    """Return the summary of a stage of the turn that is reused, marked with that turn's id; None if there is none."""
    earlier = turn_reused(turn)
    if earlier is None:
        return None
    summary = summary_of(earlier, stage)
    return summary | {"of_turn": summary.get("of_turn", earlier.pk)}
