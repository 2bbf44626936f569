"""Conditions of *promote*: each holds, is open, or has failed."""

from __future__ import annotations

import pytest

from deployments.engine.evidence.fixed_time import RewardMoments, ValueMoments
from deployments.engine.rollouts.arm_values import ArmMoments
from deployments.engine.rollouts.conditions import ConditionState, false_interventions_are_few


def arm(false_interventions: float, people: int = 400) -> ArmMoments:
    """An arm in which the standard error of 400 people's mean is .01."""
    few = ValueMoments(people, false_interventions, 0.04)
    return ArmMoments(people, ValueMoments(0), few, RewardMoments(0), ValueMoments(0), ValueMoments(0))


@pytest.mark.parametrize(
    ("candidate", "state"), [(0.05, "holds"), (0.0949, "holds"), (0.0951, "open"), (0.1, "open"), (0.1001, "failed")]
)
def test_false_interventions_hold_with_half_a_standard_error_to_spare(candidate: float, state: ConditionState) -> None:
    """At the bar itself a mean is below it in every second stage, and a true .12 now and then."""
    assert false_interventions_are_few(arm(candidate), arm(0.08)).state == state


def test_they_fail_at_twice_the_stable_versions_although_within_the_bar() -> None:
    assert false_interventions_are_few(arm(0.09), arm(0.045)).state == "failed"
    assert false_interventions_are_few(arm(0.07), arm(0.045)).state == "open", "not proven by these people"
    assert false_interventions_are_few(arm(0.07, 40_000), arm(0.045, 40_000)).state == "holds"
