"""The check of the ratio of arms: golden numbers, few false alarms at every look, and a real mismatch found."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deployments.engine.evidence.sample_ratio import ALARM, log_bayes_factor, ratio_is_off


@pytest.mark.parametrize(
    ("ours", "people", "share", "prior", "golden"),
    [
        (60, 100, 0.5, 100.0, 0.658892),
        (130, 1_000, 0.1, 1_000.0, 1.988121),
        (5_250, 10_000, 0.5, 10_000.0, 5.904378),
    ],
)
def test_golden_numbers_of_an_independent_simulation(
    ours: int, people: int, share: float, prior: float, golden: float
) -> None:
    assert log_bayes_factor(ours, people - ours, share, prior) == pytest.approx(golden, abs=1e-6)


def test_nobody_is_no_evidence() -> None:
    assert log_bayes_factor(0, 0, 0.1) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.5])
def test_right_ratios_hardly_ever_alarm_although_every_person_is_a_look(share: float) -> None:
    """400 runs of 2,000 people; an alarm in one of a thousand is allowed, so 4 or more have a probability below .1%."""
    rng = np.random.default_rng(1)
    ours = (rng.random((400, 2_000)) < share).cumsum(axis=1)
    alarms = 0
    for run in ours:
        alarms += any(ratio_is_off(int(run[n - 1]), n - int(run[n - 1]), share) for n in range(20, 2_001, 20))
    assert alarms < 4


def test_an_arm_that_loses_a_tenth_of_its_people_is_found() -> None:
    assert ratio_is_off(4_500, 5_000, 0.5) and not ratio_is_off(4_950, 5_000, 0.5)
    assert log_bayes_factor(4_500, 5_000, 0.5) > math.log(ALARM)
