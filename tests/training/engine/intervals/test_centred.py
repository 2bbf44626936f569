"""Intervals of centred sums: coverage, what noise and a cut tail cost, head counts that are noised, people needed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from core.arrays import Floats
from privacy.engine.evaluation.centred_sums import CentredSums, PersonValues, ValueClips, read_centred, release_centred
from training.engine.intervals.centred import mean_interval, people_needed_for, relative_interval, share_interval
from training.engine.intervals.clustered import MIN_DOF

SIGMA = 3.73 * math.sqrt(2)  # half of epsilon 1 at delta 1e-5
REPETITIONS = 300
BAR = 0.1


def of_mean(values: Floats, clip: float, sigma: float | None = SIGMA, share: float = 0.3) -> CentredSums:
    return read_centred(release_centred("m", PersonValues(values), ValueClips(clip), sigma=sigma, share=share), "m")


def of_share(harmed: Floats, weight: Floats, sigma: float | None = SIGMA, share: float = 0.3) -> CentredSums:
    values = PersonValues(harmed - BAR * weight, weight)
    clips = ValueClips((1 - BAR) * float(weight.max()), float(weight.max()))
    return read_centred(release_centred("m", values, clips, sigma=sigma, share=share), "m")


def test_without_noise_a_mean_has_students_interval() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.3, size=200)
    interval = mean_interval(of_mean(values, 10.0, None))
    se = values.std(ddof=1) / math.sqrt(200)
    assert interval.estimate == pytest.approx(values.mean(), abs=1e-5)
    assert interval.low == pytest.approx(values.mean() - 1.972 * se, abs=1e-4)
    assert interval.high == pytest.approx(values.mean() + 1.972 * se, abs=1e-4)


@pytest.mark.parametrize("people", [120, 400, 1_500])
@pytest.mark.parametrize("tails", ["normal", "skewed"])
def test_means_are_covered(people: int, tails: str) -> None:
    """At least .92 of the 95% intervals, over 300 draws: .95 less three standard errors is .91."""
    rng = np.random.default_rng(people)
    covered = 0
    for _ in range(REPETITIONS):
        values = rng.normal(0.05, 0.35, people) if tails == "normal" else rng.exponential(0.3, people) - 0.25
        covered += mean_interval(of_mean(values, 1.5)).low <= 0.05 <= mean_interval(of_mean(values, 1.5)).high
    assert covered / REPETITIONS >= 0.92


@pytest.mark.parametrize("people", [400, 1_500])
@pytest.mark.parametrize("concentration", [0.5, 8.0])
def test_a_share_at_its_bar_passes_rarely(people: int, concentration: float) -> None:
    """True share .10, in all people alike or sitting in few of them. The upper bound at .95 is below the bar in <= 8% of 300."""
    rng = np.random.default_rng(people)
    passed = 0
    for _ in range(REPETITIONS):
        number = rng.integers(2, 15, people)
        harmed = rng.binomial(number, rng.beta(BAR * concentration, (1 - BAR) * concentration, people))
        passed += share_interval(of_share(harmed / 28, number / 28), BAR, level=0.9).high <= BAR
    assert passed / REPETITIONS <= 0.08


def test_few_who_are_always_harmed_are_seen_beyond_the_clip() -> None:
    """12% of 2,000 dismiss everything and nobody else does anything: .12, above the bar, at a clip that none of them fits in."""
    dismisses = np.random.default_rng(8).random(2_000) < 0.12
    values = PersonValues(np.asarray(0.5 * (dismisses - BAR), dtype=np.float64), np.full(2_000, 0.5))
    stored = release_centred("m", values, ValueClips(0.15, 0.5), sigma=SIGMA, share=0.4)
    assert share_interval(read_centred(stored, "m"), BAR, level=0.9).high > 0.11


def test_a_share_without_any_harm_is_not_proven_by_a_handful() -> None:
    harmless = of_share(np.zeros(40), np.ones(40))
    assert share_interval(harmless, BAR, level=0.9).high > BAR
    many = of_share(np.zeros(2_000), np.ones(2_000))
    assert share_interval(many, BAR, level=0.9).high <= BAR


class TestBeyondTheClip:
    def test_few_who_are_hurt_badly_move_the_lower_bound_by_what_they_may_have_lost(self) -> None:
        """5% of 2,000 lose 10 scales while the others gain .42: the mean is -.1, and the clipped mean is +.4."""
        rng = np.random.default_rng(3)
        values = np.where(rng.random(2_000) < 0.05, -10.0, rng.normal(0.42, 0.3, 2_000))
        sums = of_mean(values, 1.5)
        assert mean_interval(sums).low > 0.3, "without reach the few are not seen"
        assert mean_interval(sums, reach=20.0).low < values.mean() < 0

    def test_the_noise_of_their_number_widens_both_bounds(self) -> None:
        """At 2,000 people and a reach of 20, the noise on the count is what decides the width."""
        sums = of_mean(np.random.default_rng(4).normal(0.15, 0.3, 2_000), 1.5)
        near, far = mean_interval(sums), mean_interval(sums, reach=20.0)
        noise = 1.96 * 20 * sums.sd_beyond / 2_000
        assert near.low - far.low > 0.6 * noise and far.high - near.high > 0.6 * noise

    def test_two_in_a_hundred_who_lose_ten_scales_are_covered(self) -> None:
        """At 400 and 1,000 people, in at least .93 of 200 intervals: the number of the hurt is noised and small."""
        for people in (400, 1_000):
            covered = 0
            for seed in range(200):
                rng = np.random.default_rng([people, seed])
                values = np.where(np.arange(people) < people // 50, -10.0, rng.normal(0.1, 0.3, people))
                covered += mean_interval(of_mean(values, 1.5), reach=20.0).low <= values.mean()
            assert covered / 200 >= 0.93

    def test_gains_of_many_do_not_hide_the_losses_of_a_few(self) -> None:
        """13% of 2,000 lose 10 scales while the others gain 1, many of them more than the clip."""
        rng = np.random.default_rng(9)
        values = np.where(rng.random(2_000) < 0.13, -10.0, rng.normal(1.0, 0.5, 2_000))
        assert mean_interval(of_mean(values, 1.3), reach=20.0).low < values.mean() < 0

    def test_heavy_tails_leave_the_interval_wide(self) -> None:
        values = np.random.default_rng(5).standard_t(2, 20_000) * 0.4 + 0.3
        interval = mean_interval(of_mean(values, 1.5, None), reach=20.0)
        assert interval.low < 0 < 0.3 < interval.high


class TestNoisedHeadCounts:
    def test_the_bound_takes_the_end_that_makes_it_wider(self) -> None:
        sums = replace(of_mean(np.full(400, 0.2), 1.0, None), sd_people=100.0)
        exact = replace(sums, sd_people=0.0)
        assert mean_interval(sums).low < mean_interval(exact).low
        assert mean_interval(sums).high > mean_interval(exact).high

    def test_a_weight_within_its_noise_says_nothing(self) -> None:
        tiny = replace(of_share(np.zeros(400), np.full(400, 0.01), None), sd_weight=5.0)
        share = share_interval(tiny, BAR)
        assert (share.low, share.high, share.dof) == (0.0, 1.0, 0.0)
        assert relative_interval(tiny).low == -math.inf

    def test_a_count_of_nobody_gives_no_degrees_of_freedom(self) -> None:
        none = replace(of_mean(np.zeros(30), 1.0, None), people=1.0, sd_people=20.0)
        assert mean_interval(none).dof < MIN_DOF and mean_interval(none).low == -math.inf


def test_a_public_shift_lowers_the_estimate_and_its_sd_widens_both_bounds() -> None:
    sums = of_mean(np.random.default_rng(6).normal(0.1, 0.3, 1_000), 1.5, None)
    plain, shifted = mean_interval(sums), mean_interval(sums, shift=0.01, shift_sd=0.01)
    assert shifted.estimate == pytest.approx(plain.estimate - 0.01)
    t = (plain.estimate - plain.low) / plain.se
    assert shifted.low == pytest.approx(plain.estimate - 0.01 - t * math.hypot(plain.se, 0.01), rel=1e-3)
    assert shifted.high == pytest.approx(plain.estimate - 0.01 + t * math.hypot(plain.se, 0.01), rel=1e-3)


def test_people_needed_shows_the_effect_four_times_in_five() -> None:
    """A tenth of 300 people's noise-free sd: about (1.645 + .842)^2 x 100 people, and more with noise."""
    values = np.random.default_rng(7).normal(0, 1.0, 300)
    exact = people_needed_for(of_mean(values, 20.0, None), 0.1, level=0.95)
    assert exact == pytest.approx(2.486**2 * 100 * values.var(ddof=1), rel=0.02)
    assert people_needed_for(of_mean(values, 20.0), 0.1, level=0.95) > exact
    assert people_needed_for(of_mean(values, 20.0), 0.02, level=0.95, shift_sd=0.01) == math.inf


@pytest.mark.parametrize(("shift_sd", "possible"), [(0.0, True), (0.39, True), (0.41, False)])
def test_an_uncertain_shift_of_two_fifths_of_the_distance_cannot_be_outweighed(shift_sd: float, possible: bool) -> None:
    """The quantiles of level and power together are 2.486 sd, and 1 / 2.486 = .402."""
    sums = of_mean(np.random.default_rng(7).normal(0, 1.0, 300), 20.0, None)
    assert math.isfinite(people_needed_for(sums, 1.0, level=0.95, shift_sd=shift_sd)) is possible


def test_how_many_people_are_needed_does_not_depend_on_the_unit_of_the_weight() -> None:
    rng = np.random.default_rng(5)
    weight = rng.integers(1, 6, 80).astype(float)
    harmed = rng.binomial(weight.astype(int), BAR).astype(float)
    needed = {
        people_needed_for(of_share(harmed * unit, weight * unit, None), 0.01, level=0.95) for unit in (1.0, 2.0**-12)
    }
    assert len(needed) == 1 and 80 < needed.pop() < math.inf
