"""Rows of the training dashboard about versions, each with what an operator may do with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Prefetch

from core.html_format import NOT_ENOUGH_PEOPLE, number_text
from deployments.engine.rollouts.strategies import TRIAL
from deployments.models import ServingSlot
from deployments.selectors.rollouts import with_rollouts
from loops.engine.heads import MAIN_HEAD
from r3al_project.pages.front_page import chip_of, main_first, state_chip
from training.models import (
    LIVED,
    OUTCOME_GATE,
    VERDICT_WORDS,
    GateVerdict,
    ModelMetric,
    ModelVersion,
    VersionState,
)
from training.selectors.evidence import trial_is_wanted

_VERSIONS, _METRICS = 12, 5


def version_rows(slots: Sequence[ServingSlot]) -> list[dict[str, Any]]:
    """Return the newest versions, those of the policy head first. ``slots``: those in use."""
    verdicts = Prefetch("verdicts", GateVerdict.objects.order_by("attempt"))
    gates = Prefetch("metrics", ModelMetric.objects.exclude(source=LIVED).order_by("id"))
    found = with_rollouts(ModelVersion.objects.learned().select_related("loop_version__loop").defer("weights"))
    deployed = {slot.stable_id for slot in slots}
    newest = main_first(found.prefetch_related(verdicts, gates).order_by("-id")[:_VERSIONS])
    rows = [_row(version, deployed) for version in newest]
    first = {row["version"].loop_version.loop_id: row for row in reversed(rows) if row["version"].head == MAIN_HEAD}
    for row in first.values():  # an older candidate is not offered, because a newer one was judged after it
        row["can_deploy"] = row["can_deploy"] or _may_be_tried(row)
    return rows


def _may_be_tried(row: dict[str, Any]) -> bool:
    """Tell whether the newest candidate of a loop waits for a trial, as one does that acts like an earlier harmful version."""
    version: ModelVersion = row["version"]
    return version.state == VersionState.EVALUATING and row["rollout"] is None and trial_is_wanted(version)


def _row(version: Any, deployed: set[int]) -> dict[str, Any]:
    """Return the row of a version that ``with_rollouts`` read."""
    verdict = next(reversed(version.verdicts.all()), None)
    answer = verdict.verdict if verdict else "not asked"
    return {
        "version": version,
        "state": state_chip(version),
        "gate": chip_of(answer, f"gate: {VERDICT_WORDS[answer]}"),
        "metrics": _metrics(version),
        "can_deploy": version.state == VersionState.EVALUATING and answer == "pass" and not version.tried_in,
        "can_roll_back": version.pk in deployed,
        "rollout": version.tried_in,
        "is_trial": version.tried_by == TRIAL,
    }


def _metrics(version: ModelVersion) -> list[tuple[str, str]]:
    """Return name and value of a version's first metrics: those of people's outcomes, or else all that there are."""
    metrics = list(version.metrics.all())
    shown = [m for m in metrics if m.source == OUTCOME_GATE] or metrics
    return [
        (m.name.replace("_", " "), NOT_ENOUGH_PEOPLE if m.too_few else number_text(m.value)) for m in shown[:_METRICS]
    ]
