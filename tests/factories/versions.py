"""Learned versions for the care loop whose choices are known beforehand, and putting one in front of everybody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from django.db import transaction

from deployments.selectors.slots import slot_for
from deployments.services.rollouts.slots import slot_swap
from deployments.services.serving.policy_cache import clear_policy_cache
from loops.engine.features import FeatureMap
from loops.models import LoopVersion
from tests.factories.releases import new_release
from training.models import MODEL_GATE, OUTCOME_GATE, GateVerdict, ModelMetric, ModelVersion, VersionKind
from training.services.recorded_versions import judgement_record
from training.services.versions import version_register

TALK_IN_A_GOOD_MOOD = [[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]]
ALWAYS_WALK = [[0.0] * 4, [0.0] * 4, [1.0, 0.0, 0.0, 0.0]]


def learned(
    loop_version: LoopVersion,
    head: str,
    weights: list[list[float]],
    parent: ModelVersion | None = None,
    releases: Iterable[int] = (),
    **config: Any,
) -> ModelVersion:
    """A learned version with given weights on (1, mood, place=work, gap), that was to beat ``parent``."""
    assert FeatureMap.of(loop_version.spec, False).names == ("1", "mood", "place=work", "gap")
    return version_register(
        loop_version=loop_version,
        head=head,
        kind=VersionKind.LINEAR_Q,
        arrays={"weights": np.array(weights), "margin": np.array(0.0)},
        config={"hinges": False} | config,
        parent=parent,
        releases=releases,
    )


def judged(
    version: ModelVersion, verdict: str = "pass", *, attempt: int = 1, reason: str = "people said so"
) -> ModelVersion:
    """The version after its outcome gate."""
    GateVerdict.objects.create(version=version, attempt=attempt, verdict=verdict, reason=reason)
    with transaction.atomic():
        judgement_record(version)
    return version


def undecided(version: ModelVersion, *, z: float = 0.5, attempt: int = 1) -> ModelVersion:
    """The version after a model gate that held it back and outcomes that may be better, so that only a trial can tell."""
    ModelMetric.objects.create(
        version=version, source=MODEL_GATE, name="model_gate_z", value=z, threshold=1.3, verdict="insufficient"
    )
    for name, answer, value in (("improvement", "insufficient", 0.05), ("support", "pass", 1.0)):
        ModelMetric.objects.create(
            version=version,
            source=OUTCOME_GATE,
            name=name,
            value=value,
            low=value - 0.15,
            high=value + 0.15,
            threshold=0.0,
            verdict=answer,
        )
    judged(version, "insufficient", attempt=attempt, reason="the model gate holds it back")
    version.verdicts.filter(attempt=attempt).update(release=new_release(version.loop_version))
    with transaction.atomic():
        judgement_record(version)
    return version


def serve(version: ModelVersion) -> None:
    """Put a version in front of everybody, at once seen by this process."""
    slot_swap(
        slot=slot_for(version.loop_version.loop, version.head),
        version=version,
        strategy="full_rollout",
        actor="test",
        reason="test",
        holdback_bp=0,
    )
    clear_policy_cache()
