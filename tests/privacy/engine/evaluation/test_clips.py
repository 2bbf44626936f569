"""Public clips: follow the policy's own rate of interventions, cover whoever was never harmed, and need nobody's data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loops.engine.features import FeatureMap
from loops.engine.policies.linear import LinearPolicy
from loops.engine.thresholds import FALSE_INTERVENTION_BAR
from privacy.engine.evaluation.centred_sums import ValueClips
from privacy.engine.evaluation.clips import evaluation_clips
from privacy.engine.evaluation.statistics import EvaluationCandidate
from tests.factories.planted import planted_spec

PLANTED = planted_spec()
SPEC = replace(PLANTED, imports=replace(PLANTED.imports, label="l", reward={"total": "r", "empathy": "e"}))
PHI = FeatureMap.of(SPEC, False)
ALWAYS = LinearPolicy(PHI, np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), 0.0, 0)
NEVER = LinearPolicy(PHI, np.zeros((2, 3)), 0.0, 0)


def clips(policy: LinearPolicy = ALWAYS, rate: float | None = None) -> dict[str, ValueClips]:
    return evaluation_clips(SPEC, EvaluationCandidate(policy, NEVER, np.zeros((2, 3)), intervention_rate=rate), 16)


@pytest.mark.parametrize(("rate", "share"), [(0.5, 0.5), (1.0, 1.0), (0.01, 0.2), (0.2, 0.2)])
def test_the_weight_of_interventions_follows_their_rate_down_to_a_fifth(rate: float, share: float) -> None:
    """Among null users this policy always intervenes. In the released model it does so at ``rate``."""
    usual, rarer = clips(), clips(rate=rate)
    for metric in ("false_intervention", "empathy_deficit"):
        assert rarer[metric].weight == pytest.approx(share * usual[metric].weight)
    assert rarer["support"] == usual["support"] and rarer["improvement"] == usual["improvement"]


def test_a_policy_that_never_intervenes_has_clips_all_the_same() -> None:
    found = clips(NEVER, rate=0.0)
    assert found["false_intervention"].weight == pytest.approx(1e-3)
    assert all(clip.value > 0 for clip in found.values())


def test_who_was_never_harmed_is_inside_the_clip_and_nobody_can_be_beyond_the_largest() -> None:
    found = clips()["false_intervention"]
    assert FALSE_INTERVENTION_BAR * found.weight <= found.value <= (1 - FALSE_INTERVENTION_BAR) * found.weight


def test_the_clips_need_no_data_and_repeat() -> None:
    assert clips() == clips()
