"""Rows of the training dashboard about versions, each with what an operator may do with it."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch

from core.html_format import NOT_ENOUGH_PEOPLE, number_text
from r3al_project.pages.front_page import SIGNS, main_first
from training.models import (
    LIVED,
    OUTCOME_GATE,
    VERDICT_WORDS,
    GateVerdict,
    ModelMetric,
    ModelVersion,
    VersionState,
)

_VERSIONS = 12


def version_rows(deployed: set[int]) -> list[dict[str, Any]]:
    verdicts = Prefetch("verdicts", GateVerdict.objects.order_by("attempt"))
    gates = Prefetch("metrics", ModelMetric.objects.exclude(source=LIVED))
    found = ModelVersion.objects.learned().select_related("loop_version__loop").defer("weights")
    rows = []
    for version in main_first(found.prefetch_related(verdicts, gates).order_by("-id")[:_VERSIONS]):
        verdict = next(reversed(version.verdicts.all()), None)
        answer = verdict.verdict if verdict else "not asked"
        shown = [m for m in version.metrics.all() if m.source == OUTCOME_GATE] or list(version.metrics.all())
        rows.append(
            {
                "version": version,
                "state": {"state": version.state, "sign": SIGNS[version.state], "words": version.get_state_display()},
                "gate": {
                    "state": answer.replace(" ", "-"),
                    "sign": SIGNS[answer],
                    "words": f"gate: {VERDICT_WORDS[answer]}",
                },
                "metrics": [
                    (m.name.replace("_", " "), NOT_ENOUGH_PEOPLE if m.too_few else number_text(m.value))
                    for m in shown[:5]
                ],
                "can_deploy": version.state == VersionState.EVALUATING and answer == "pass",
                "can_roll_back": version.pk in deployed,
            }
        )
    return rows
