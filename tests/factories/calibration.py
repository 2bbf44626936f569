"""Versions whose gates said something, and what was then lived."""

from __future__ import annotations

from typing import Any

from loops.models import LoopVersion
from tests.factories.versions import ALWAYS_WALK, learned
from training.models import OUTCOME_GATE, ModelMetric, ModelVersion
from training.services.lived import lived_record

Figure = tuple[float, float | None, float | None]  # a value with its bounds


def gated(loop: LoopVersion, *, source: str = OUTCOME_GATE, **metrics: Figure) -> ModelVersion:
    """A learned version for the policy head of which a gate estimated these metrics, and passed them."""
    version = learned(loop, "policy", ALWAYS_WALK)
    for name, figure in metrics.items():
        estimated(version, name, figure, source=source)
    return version


def estimated(version: ModelVersion, name: str, figure: Figure, *, source: str = OUTCOME_GATE, **more: Any) -> None:
    """A metric of a gate."""
    value, low, high = figure
    given = {"verdict": "pass", "value": value, "low": low, "high": high} | more
    ModelMetric.objects.create(version=version, source=source, name=name, **given)


def lived(version: ModelVersion, *, users: int = 430, **metrics: Figure) -> ModelVersion:
    """The version after so many people lived under it."""
    for name, (value, low, high) in metrics.items():
        lived_record(version=version, name=name, value=value, low=low, high=high, users=users)
    return version
