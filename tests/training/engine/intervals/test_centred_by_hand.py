"""Intervals of centred sums, number by number from the formulas that their module states."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from privacy.engine.evaluation.centred_sums import CentredSums, ValueClips
from training.engine.intervals import centred, clustered
from training.engine.intervals.centred import mean_interval, people_needed_for, relative_interval, share_interval
from training.engine.intervals.clustered import (
    Interval,
    Tails,
    cluster_statistics,
    clustered_interval,
    effective_n,
    effective_n_for_bar,
    jeffreys_bounds,
    one_sided,
    quantile,
    ratio_interval,
    ratio_or_infinite,
    sufficient,
    users_needed,
)

Z90 = 1.645


def sums(kind: str = "mean", **other: float) -> CentredSums:
    numbers = {
        "value": 30.0, "square": 40.0, "below": 6.0, "above": 9.0, "people": 200.0, "weight": 120.0, "sd_value": 2.0,
        "sd_square": 3.0, "sd_beyond": 4.0, "sd_people": 5.0, "sd_weight": 6.0,
    }  # fmt: skip
    return CentredSums(kind=kind, clips=ValueClips(0.5, 0.8), **(numbers | other))  # type: ignore[arg-type]


def spread_of(s: CentredSums, score: float = 1.0) -> tuple[float, float]:
    """V + N and its degrees of freedom: V raised by half an sd of its noise, Satterthwaite for V's noise and sampling."""
    n = s.people - s.sd_people
    small = score * n / (n - 1)
    sampling, raised = (s.square - s.value**2 / s.people) * small, s.sd_square * small
    whole = sampling + 0.5 * raised + s.sd_value**2
    return whole, 2 * whole**2 / (2 * sampling**2 / (n - 1) + raised**2)


def test_constants() -> None:
    """The calibrations of the gates were measured with these."""
    assert (centred._MARGIN, centred._BOUND, centred._MOST_SCORE) == (0.5, 2.0, 4.0)
    assert (clustered.MIN_ESS, clustered.MIN_DOF, clustered.POWER) == (50.0, 8.0, 0.8)


@pytest.mark.parametrize("value", [30.0, -30.0])
@pytest.mark.parametrize("reach", [0.0, 3.0])
@pytest.mark.parametrize(("shift", "shift_sd"), [(0.0, 0.0), (0.02, 0.03)])
def test_a_means_interval(value: float, reach: float, shift: float, shift_sd: float) -> None:
    """S +- t sqrt(V + N + (reach sd)^2), less what those beyond may reach, over the number of people that makes it wider."""
    s = sums(value=value)
    variance, dof = spread_of(s)
    t = float(stats.t.ppf(0.975, dof))
    own = t * math.sqrt(variance + (reach * 4.0) ** 2)
    fewest, most = 200 - Z90 * 5, 200 + Z90 * 5
    low, high = value - own - reach * 6.0, value + own + reach * 9.0
    low, high = low / (fewest if low < 0 else most), high / (most if high < 0 else fewest)
    middle = value / 200
    low, high = (middle + math.copysign(math.hypot(b - middle, t * shift_sd), b - middle) - shift for b in (low, high))
    found = mean_interval(s, reach=reach, shift=shift, shift_sd=shift_sd)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.estimate == pytest.approx((value + 0.5 * (7.0 - 4.0)) / 200 - shift)
    assert found.se == pytest.approx(math.hypot(math.sqrt(variance) / 200, shift_sd))
    assert found.dof == pytest.approx(dof) and found.users == found.ess == 200.0


@pytest.mark.parametrize("tails", ["lower", "upper"])
def test_a_one_sided_bound_leaves_the_other_side_open(tails: Tails) -> None:
    one, two = mean_interval(sums(), level=0.95, tails=tails), mean_interval(sums(), level=0.9)
    assert (one.low == -math.inf) is (tails == "upper") and (one.high == math.inf) is (tails == "lower")
    assert one.low == pytest.approx(two.low) if tails == "lower" else one.high == pytest.approx(two.high)
    assert (one.level, one.tails) == (0.95, tails)


def test_without_noise_degrees_of_freedom_are_one_fewer_than_people() -> None:
    exact = sums(sd_value=0.0, sd_square=0.0, sd_people=0.0, sd_beyond=0.0)
    assert mean_interval(exact).dof == 199
    assert mean_interval(replace(exact, square=0.0)).dof == 199, "no spread at all is known as well"
    noisy_square = replace(exact, sd_square=0.01)
    assert mean_interval(noisy_square).dof == 199, "noise in the square gives no more of them"


def test_where_noise_leaves_too_few_degrees_of_freedom_the_variance_is_raised_by_two_sd() -> None:
    s = sums(square=10.0, sd_square=60.0, sd_value=0.1, sd_beyond=0.0)
    n = 195.0
    raised = 60.0 * n / (n - 1)
    sampling = (10.0 - 30.0**2 / 200) * n / (n - 1)
    found = mean_interval(s)
    assert found.dof == n - 1
    assert found.se == pytest.approx(math.sqrt(sampling + 2 * raised + 0.01) / 200)


@pytest.mark.parametrize(("people", "sd", "known"), [(7.1, 5.0, True), (7.0, 5.0, False)])
def test_more_than_two_people_beyond_the_noise_are_needed_for_a_variance(people: float, sd: float, known: bool) -> None:
    found = mean_interval(sums(people=people, sd_people=sd))
    assert math.isfinite(found.low) is known and (found.dof > 0) is known


def test_few_people_have_few_degrees_of_freedom_whatever_the_noise() -> None:
    """Six people beyond the noise: fewer than eight degrees of freedom are possible, so nothing is raised further."""
    s = sums(people=6.0, sd_people=0.0, value=0.0, sd_square=60.0)
    raised = 60.0 * 6 / 5
    sampling = 40.0 * 6 / 5
    whole = sampling + 0.5 * raised + 4.0
    assert mean_interval(s).dof == pytest.approx(2 * whole**2 / (2 * sampling**2 / 5 + raised**2))


@pytest.mark.parametrize("value", [30.0, -8.0])
@pytest.mark.parametrize("score", [True, False])
def test_a_shares_interval(value: float, score: bool) -> None:
    """Reach: a tenth of the weight's clip below, nine tenths above. V by bar (1 - bar) / (p (1 - p)), from 1 to 4."""
    s, bar = sums("share", value=value, sd_beyond=0.5), 0.1
    below, above = 6.0 - 0.25, 9.0 - 0.25
    share = bar + (value + 0.5 * (above - below)) / 120
    own = share * (1 - share)
    factor = min(max(0.09 / own, 1.0), 4.0) if score else 1.0
    variance, dof = spread_of(s, factor)
    t = float(stats.t.ppf(0.975, dof))
    fewest, most = 120 - Z90 * 6, 120 + Z90 * 6
    low = value - t * math.sqrt(variance + (0.08 * 0.5) ** 2) - 0.08 * 6.0
    high = value + t * math.sqrt(variance + (0.72 * 0.5) ** 2) + 0.72 * 9.0
    low = bar + low / (fewest if low < 0 else most)
    high = bar + high / (most if high < 0 else fewest)
    found = share_interval(s, bar, score=score)
    assert found.estimate == pytest.approx(share)
    assert (found.low, found.high) == pytest.approx((min(max(low, 0.0), share), max(min(high, 1.0), share)))
    assert found.se == pytest.approx(math.sqrt(variance) / 120) and found.dof == pytest.approx(dof)


def test_a_share_is_a_share() -> None:
    most, least = share_interval(sums("share", value=500.0), 0.1), share_interval(sums("share", value=-500.0), 0.1)
    assert (most.estimate, most.high) == (1.0, 1.0) and (least.estimate, least.low) == (0.0, 0.0)
    assert centred._score(0.0, 0.1) == centred._score(1.0, 0.1) == 4.0
    assert centred._score(0.5, 0.1) == 1.0 and centred._score(0.05, 0.1) == pytest.approx(0.09 / 0.0475)
    assert centred._score(0.01, 0.1) == 4.0


@pytest.mark.parametrize(("weight", "sd", "known"), [(18.0, 6.0, True), (17.9, 6.0, False), (0.0, 0.0, False)])
def test_a_weight_below_three_sd_of_its_noise_says_nothing(weight: float, sd: float, known: bool) -> None:
    s = sums("share", weight=weight, sd_weight=sd, value=0.5)
    share, ratio = share_interval(s, 0.1), relative_interval(s)
    assert (share.dof > 0) is (ratio.dof > 0) is known
    assert math.isfinite(ratio.high) is known
    if not known:
        assert (share.low, share.high, share.se, share.ess, share.users) == (0.0, 1.0, math.inf, 0.0, 200.0)
        assert (ratio.low, ratio.high, ratio.se, ratio.ess, ratio.users) == (-math.inf, math.inf, math.inf, 0.0, 200.0)
        if weight:
            assert share.estimate == pytest.approx(0.1 + (0.5 + 1.5) / 17.9)
            assert ratio.estimate == pytest.approx(2.0 / 17.9)
        else:
            assert math.isnan(share.estimate) and math.isnan(ratio.estimate)


@pytest.mark.parametrize("value", [30.0, -60.0])
def test_a_relative_interval(value: float) -> None:
    s = sums("share", value=value)
    variance, dof = spread_of(s)
    t, clipped = float(stats.t.ppf(0.975, dof)), value + 0.5 * (7.0 - 4.0)
    fewest, most = 120 - Z90 * 6, 120 + Z90 * 6
    low, high = clipped - t * math.sqrt(variance), clipped + t * math.sqrt(variance)
    found = relative_interval(s)
    assert found.low == pytest.approx(low / (fewest if low < 0 else most))
    assert found.high == pytest.approx(high / (most if high < 0 else fewest))
    assert (found.estimate, found.se) == pytest.approx((clipped / 120, math.sqrt(variance) / 120))


@pytest.mark.parametrize("kind", ["mean", "share"])
@pytest.mark.parametrize("shift_sd", [0.0, 0.005])
def test_people_needed_solve_the_variance_at_that_many(kind: str, shift_sd: float) -> None:
    """With m times the people: (z_level + z_power)^2 (V / m + N / m^2 + shift_sd^2) = distance^2."""
    s = sums(kind, value=1.0)
    divisor = 200.0 if kind == "mean" else 120.0
    needed = people_needed_for(s, 0.04, level=0.95, shift_sd=shift_sd)
    variance, _ = spread_of(s)
    v, noise = (variance - 4.0) / divisor**2, 4.0 / divisor**2
    z2 = (stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) ** 2

    def missing(people: float) -> float:
        m = people / 200
        return float(z2 * (v / m + noise / m**2 + shift_sd**2) - 0.04**2)

    assert needed > 200 and missing(needed - 1) > 0 >= missing(needed)


def test_people_needed_are_at_least_those_there_and_fifty_and_may_be_nobody_enough() -> None:
    exact = sums(value=0.0, sd_people=0.0, sd_value=0.0)
    assert people_needed_for(exact, 100.0, level=0.95) == 200.0
    assert people_needed_for(replace(exact, people=20.0), 100.0, level=0.95) == 50.0
    assert people_needed_for(replace(exact, people=-3.0, sd_people=70.0), 100.0, level=0.95) == math.inf
    for distance in (0.0, -0.1):
        assert people_needed_for(exact, distance, level=0.95) == math.inf


# Intervals of ratios over users


def test_two_people_have_the_interval_of_two_numbers() -> None:
    """Equal denominators: the mean of two, se half of their distance, one degree of freedom."""
    found = clustered_interval([1.0, 3.0], [1.0, 1.0], [1.0, 1.0])
    assert (found.estimate, found.se, found.dof, found.ess) == pytest.approx((2.0, 1.0, 1.0, 2.0))
    assert found.high == pytest.approx(2.0 + float(stats.t.ppf(0.975, 1)))


@pytest.mark.parametrize("h", [1 - 1e-10, 1.0])
def test_one_person_who_is_all_of_it_proves_nothing(h: float) -> None:
    found = cluster_statistics(np.array([0.5, 0.0]), np.array([h, 1 - h]), np.array([1.0, 1.0]))
    assert found.se == math.inf and found.dof == 0.0
    assert cluster_statistics(np.array([0.5, 0.0]), np.array([0.999, 0.001]), np.array([1.0, 1.0])).dof > 0


def test_users_are_the_last_axis() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 9)), rng.uniform(1, 2, (2, 3, 9))
    found = cluster_statistics(a, b, b)
    one = clustered_interval(a[1, 2], b[1, 2], b[1, 2])
    assert (found.estimate[1, 2], found.se[1, 2], found.dof[1, 2]) == pytest.approx((one.estimate, one.se, one.dof))


def test_working_variances_have_a_tenth_of_the_denominators_square() -> None:
    b, s = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.1, 0.2])
    expected = clustered.bell_mccaffrey_dof(b / 6, s + 0.1 * b**2)
    assert cluster_statistics(np.zeros(3), b, s).dof == pytest.approx(float(expected))


def test_no_weight_at_all_has_no_effective_size() -> None:
    assert cluster_statistics(np.array([0.1, 0.2]), np.ones(2), np.zeros(2)).ess == math.inf
    assert cluster_statistics(np.zeros(2), np.zeros(2), np.zeros(2)).ess == 0.0


def test_the_size_of_a_share_is_the_smaller_of_its_own_and_kishs() -> None:
    b = np.full(40, 5.0)
    a = np.tile([0.0, 1.0, 0.0, 2.0], 10)
    stat = cluster_statistics(a, b, b)
    p, se, dof = float(stat.estimate), float(stat.se), float(stat.dof)
    own = p * (1 - p) / se**2 * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, dof)) ** 2
    assert effective_n(p, se, dof) == pytest.approx(own)
    found = ratio_interval(a, b, b)
    n = min(own, 200.0)
    assert (found.low, found.high) == pytest.approx(
        tuple(stats.beta.ppf([0.025, 0.975], p * n + 0.5, (1 - p) * n + 0.5))
    )
    heavy = ratio_interval(a, b, b * 10)
    assert heavy.ess == pytest.approx(20.0) and heavy.high - heavy.low > found.high - found.low
    assert effective_n(0.0, 0.1, 5.0) == effective_n(1.0, 0.1, 5.0) == effective_n(0.5, 0.0, 5.0) == math.inf


@pytest.mark.parametrize("tails", ["two", "lower", "upper"])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0, 1.2, -0.2])
@pytest.mark.parametrize("n", [12.0, math.inf])
def test_jeffreys_bounds_close_at_their_ends(tails: Tails, p: float, n: float) -> None:
    inside = min(max(p, 0.0), 1.0)
    tail = 0.025 if tails == "two" else 0.05
    low = inside if math.isinf(n) else float(stats.beta.ppf(tail, inside * n + 0.5, (1 - inside) * n + 0.5))
    high = inside if math.isinf(n) else float(stats.beta.ppf(1 - tail, inside * n + 0.5, (1 - inside) * n + 0.5))
    if math.isfinite(n):
        low, high = (0.0 if inside == 0 else low), (1.0 if inside == 1 else high)
    expected = (0.0 if tails == "upper" else low, 1.0 if tails == "lower" else high)
    assert jeffreys_bounds(p, n, tails=tails) == pytest.approx(expected)


@pytest.mark.parametrize(("p", "bar"), [(0.05, 0.1), (0.2, 0.1), (0.9, 0.75), (0.6, 0.75)])
def test_the_effective_size_for_a_bar_is_the_smallest(p: float, bar: float) -> None:
    n = effective_n_for_bar(p, bar)

    def clears(size: float) -> bool:
        low, high = jeffreys_bounds(p, size, tails="upper" if p < bar else "lower")
        return high <= bar if p < bar else low >= bar

    assert clears(n) and not clears(n - 1)


def test_a_share_at_its_bar_never_clears_it_and_an_end_is_no_bar() -> None:
    for p, bar in ((0.1, 0.1), (0.1, 0.0), (0.1, 1.0)):
        assert effective_n_for_bar(p, bar) == math.inf
    assert effective_n_for_bar(0.1, 0.1 + 1e-9) == math.inf
    assert effective_n_for_bar(0.999, 0.01) == 1.0


def _interval(**other: float) -> Interval:
    known = {"estimate": 0.1, "low": 0.0, "high": 0.2, "se": 0.05, "dof": 60.0, "ess": 500.0, "users": 100.0} | other
    return Interval(**known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "effect", "needed"),
    [
        ({}, 0.05, math.ceil(100 * (1.6448536269514722 + 0.8416212335729143) ** 2)),
        ({"ess": 25.0}, 9.0, 200.0),
        ({"dof": 2.0}, 9.0, 400.0),
        ({"ess": 0.0}, 9.0, math.inf),
        ({"dof": 0.0}, 9.0, math.inf),
        ({"ess": 49.9}, 9.0, math.ceil(100 * 50 / 49.9)),
        ({"users": 33.3}, 9.0, 34.0),
    ],
)
def test_people_needed_for_a_verdict(other: dict[str, float], effect: float, needed: float) -> None:
    assert users_needed(_interval(**other), effect) == needed


@pytest.mark.parametrize("effect", [0.0, -1.0, math.nan])
def test_an_effect_must_be_above_0(effect: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        users_needed(_interval(), effect)


@pytest.mark.parametrize(
    ("other", "ok", "users", "said"),
    [
        ({"ess": 50.0, "dof": 8.0}, True, 100.0, ""),
        ({"ess": 49.0}, False, 103.0, "the effective sample size is 49 (at least 50 needed)"),
        ({"dof": 7.9}, False, 102.0, "the degrees of freedom are 7.9 (at least 8 needed)"),
        ({"se": math.inf}, False, 100.0, "the standard error cannot be estimated"),
        (
            {"ess": 0.0, "dof": 0.0},
            False,
            math.inf,
            "the effective sample size is 0 (at least 50 needed) and the degrees of freedom are 0",
        ),
    ],
)
def test_evidence_is_enough_from_fifty_people_and_eight_degrees_of_freedom(
    other: dict[str, float], ok: bool, users: float, said: str
) -> None:
    found = sufficient(_interval(**other))
    assert (found.ok, found.users_needed) == (ok, users) and said in found.reason
    assert ("at least" in found.reason) is ("at least" in said)


def test_a_better_number_of_people_is_reported_where_the_caller_has_one() -> None:
    assert sufficient(_interval(ess=10.0), needed=1234.2).users_needed == 1235.0
    assert sufficient(_interval(), needed=1234.2).users_needed == 100.0


def test_quantiles_are_students_and_the_normals() -> None:
    assert quantile(0.95, "two") == pytest.approx(1.959963985)
    assert quantile(0.95, "lower") == quantile(0.95, "upper") == pytest.approx(1.644853627)
    assert quantile(0.95, "two", 4.0) == pytest.approx(float(stats.t.ppf(0.975, 4)))
    assert one_sided(0.9, "two") == pytest.approx(0.95) and one_sided(0.9, "lower") == 0.9
    assert one_sided(0.5, "lower") == 0.5
    for level in (0.49, 1.0):
        with pytest.raises(ValueError, match="level"):
            one_sided(level, "two")


def test_a_limit_over_nothing_is_infinite() -> None:
    assert ratio_or_infinite(50.0, 25.0) == 2.0
    assert ratio_or_infinite(50.0, 0.0) == ratio_or_infinite(50.0, -1.0) == math.inf


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (([1.0], [[1.0]], [1.0]), "one-dimensional"),
        (([1.0, 2.0], [1.0], [1.0]), "one-dimensional"),
        (([math.inf], [1.0], [1.0]), "finite"),
        (([-1.0], [-1.0], [1.0]), "negative"),
        (([-1.0], [1.0], [-1.0]), "negative"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays: tuple[list[float], ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        clustered_interval(*arrays)
    assert clustered_interval([-1.0, -2.0], [1.0, 0.0], [0.0, 1.0]).estimate == -3.0
