"""Charges, caps and noise at their edges: which way each number is rounded, and what is refused from where on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from core.errors import InputError
from privacy.engine.dp import accounting, mechanisms, threshold_tables
from privacy.engine.dp.accounting import (
    NANO,
    Calibration,
    calibrate,
    calibration_part,
    charge_pure,
    delta_text,
    epsilon_of_gdp,
    epsilon_text,
    gaussian_delta,
    gaussian_mu,
    guarantee,
    lattice_delta,
    nano_down,
    nano_up,
    rho_cap_nano,
    rho_of_pure,
    sigma_of_rho,
)
from privacy.engine.dp.coarse_counts import never_hidden, two_digits
from privacy.engine.dp.mechanisms import Totals, add_totals, integer_sum, noise_once, noisy_sum, noisy_total, to_grid
from privacy.engine.dp.threshold_tables import (
    THRESHOLD_STEPS,
    THRESHOLD_WHOLE,
    category_table,
    geometric_table,
    log_above,
    noise_sd,
    noise_table,
    number_ratio,
)

CONSTANTS: list[tuple[ModuleType, str, object]] = [
    (accounting, "NANO", 10**9),
    (accounting, "LATTICE_STEPS", 2**20),
    (accounting, "LATTICE_NUMBERS", 100_000),
    (accounting, "_LARGEST_EPSILON", 700.0),
    (mechanisms, "_MOST_STEPS", 2**30),
    (mechanisms, "_CHUNK_VALUES", 2**22),
    (threshold_tables, "THRESHOLD_STEPS", 256),
    (threshold_tables, "THRESHOLD_WHOLE", 2**63),
    (threshold_tables, "LEAST_EPSILON", 1e-7),
    (threshold_tables, "MOST_EPSILON", 30.0),
    (threshold_tables, "_FIRST_SHAVE", 2.0**-40),
]


@pytest.mark.parametrize(("module", "name", "value"), [pytest.param(*c, id=c[1]) for c in CONSTANTS])
def test_a_constant_has_the_value_that_stored_charges_and_records_were_made_with(
    module: ModuleType, name: str, value: object
) -> None:
    assert getattr(module, name) == value
    assert threshold_tables._EXACT.prec == 60 and Decimal(10) ** -50 == threshold_tables._SAFE


# Accounts


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, 1e-5), (0.1, 1e-8), (8.0, 1e-3)])
def test_a_release_is_calibrated_to_what_the_grid_leaves_of_its_delta(epsilon: float, delta: float) -> None:
    c = calibrate(epsilon=epsilon, delta=delta, maximum=8.0)
    sigma = 1 / gaussian_mu(epsilon, delta)
    grid = (1 + math.exp(epsilon)) * 0.03 * math.sqrt(100_000) / (2**20 * sigma) ** 2
    assert lattice_delta(epsilon=epsilon, sigma=sigma) == pytest.approx(grid)
    assert c.mu == gaussian_mu(epsilon, delta - grid)
    assert c.rho_nano == math.floor(Fraction(c.mu) ** 2 * NANO / 2)
    assert c.policy_nano == nano_up(epsilon) and (c.epsilon, c.delta) == (epsilon, delta)
    assert c.sigma == sigma_of_rho(c.rho_nano)


@pytest.mark.parametrize("rho_nano", [1, 35_900_000, 10**9, 10**11])
def test_noise_spends_its_charge_and_hardly_less(rho_nano: int) -> None:
    spent = NANO / (2 * Fraction(sigma_of_rho(rho_nano)) ** 2)
    assert rho_nano * (1 - Fraction(1, 10**14)) < spent <= rho_nano


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(1, 3), Fraction(99, 100)])
def test_a_part_of_a_release_has_its_part_of_rho(share: Fraction) -> None:
    whole = calibrate(epsilon=1.0, delta=1e-5, maximum=1.0)
    part = calibration_part(whole, share)
    assert part.rho_nano == math.floor(whole.rho_nano * share)
    assert part.policy_nano == math.ceil(10**9 * share)
    assert part.mu == pytest.approx(math.sqrt(2 * part.rho_nano / NANO)) and part.delta == 1e-5
    assert part.epsilon == epsilon_of_gdp(part.mu, 1e-5) and part.sigma == sigma_of_rho(part.rho_nano)
    assert calibration_part(whole, Fraction(1)) is whole


@pytest.mark.parametrize("share", [Fraction(0), Fraction(-1, 2), Fraction(101, 100)])
def test_a_part_is_more_than_nothing_and_at_most_the_whole(share: Fraction) -> None:
    with pytest.raises(InputError, match="not possible"):
        calibration_part(calibrate(epsilon=1.0, delta=1e-5, maximum=1.0), share)


def test_the_least_charge_is_one_nano() -> None:
    whole = calibrate(epsilon=1.0, delta=1e-5, maximum=1.0)
    assert calibration_part(whole, Fraction(1, whole.rho_nano)).rho_nano == 1
    with pytest.raises(InputError, match="too small to be charged"):
        calibration_part(whole, Fraction(1, whole.rho_nano + 1))
    for charge in (
        lambda e: charge_pure(epsilon=e, maximum=1.0),
        lambda e: calibrate(epsilon=e, delta=1e-9, maximum=1.0),
    ):
        least = next(e for e in np.geomspace(1e-6, 1e-2, 4_000) if _is_charged(charge, float(e)))
        assert charge(float(least)).rho_nano in (1, 2)


def _is_charged(charge: Callable[[float], object], epsilon: float) -> bool:
    try:
        charge(epsilon)
    except InputError as refused:
        assert "too small" in str(refused)
        return False
    return True


@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 1.0, 5.0])
def test_a_pure_release_charges_the_mu_that_its_odds_imply(epsilon: float) -> None:
    mu = 2 * float(stats.norm.ppf(math.exp(epsilon) / (1 + math.exp(epsilon))))
    assert rho_of_pure(epsilon) == pytest.approx(mu**2 / 2)
    charge = charge_pure(epsilon=epsilon, maximum=5.0)
    assert charge.mu == pytest.approx(mu) and charge.policy_nano == nano_up(epsilon) and charge.epsilon == epsilon
    exact = mu**2 / 2 * NANO
    assert exact < charge.rho_nano <= exact * (1 + 3e-9) + 1, "rounded up, and by no more than a few billionths"


def test_what_is_above_the_most_is_refused_and_the_most_is_not() -> None:
    for charge in (
        lambda e: calibrate(epsilon=e, delta=1e-5, maximum=2.0),
        lambda e: charge_pure(epsilon=e, maximum=2.0),
    ):
        assert charge(2.0).epsilon == 2.0
        with pytest.raises(InputError, match="above the most one release may use, 2") as refused:
            charge(math.nextafter(2.0, 3.0))
        assert set(refused.value.members["errors"]) == {"privacyEpsilon"}
    with pytest.raises(InputError) as refused:
        calibrate(epsilon=1.0, delta=0.0, maximum=2.0)
    assert set(refused.value.members["errors"]) == {"delta"}


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, 0.0), (1.0, 1.0), (700.1, 1e-5)])
def test_there_is_no_gaussian_noise_for_these(epsilon: float, delta: float) -> None:
    with pytest.raises(InputError, match="no Gaussian noise scale"):
        gaussian_mu(epsilon, delta)
    assert gaussian_mu(700.0, 0.999) > gaussian_mu(700.0, 1e-300) > 0


@pytest.mark.parametrize("mu", [0.3, 1.7])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 3.0])
def test_delta_of_a_gaussian(mu: float, epsilon: float) -> None:
    a, b = epsilon / mu, mu / 2
    expected = stats.norm.cdf(b - a) - math.exp(epsilon) * stats.norm.cdf(-a - b)
    assert gaussian_delta(epsilon, mu) == pytest.approx(float(expected), rel=1e-9)
    assert gaussian_delta(40.0, 0.1) == 0.0, "rounding never makes it negative"


def test_no_noise_is_needed_where_delta_alone_suffices() -> None:
    assert epsilon_of_gdp(0.0, 1e-5) == 0.0
    mu = 1e-4
    at = gaussian_delta(0.0, mu)
    assert epsilon_of_gdp(mu, at) == 0.0 and epsilon_of_gdp(mu, at * 0.999) > 0.0


def test_mu_is_the_last_that_holds_and_epsilon_the_first() -> None:
    mu = gaussian_mu(1.0, 1e-5)
    assert gaussian_delta(1.0, mu) <= 1e-5 < gaussian_delta(1.0, mu * (1 + 1e-12))
    epsilon = epsilon_of_gdp(0.5, 1e-5)
    assert gaussian_delta(epsilon, 0.5) <= 1e-5 < gaussian_delta(epsilon * (1 - 1e-12), 0.5)
    low, high = accounting._boundary(lambda x: x < 37.3)
    assert low < 37.3 <= high and math.nextafter(low, high) == high
    small = accounting._boundary(lambda x: x <= 0.001)
    assert small[0] == 0.001 and small[1] == math.nextafter(0.001, 1)


def test_a_cap_is_rounded_down() -> None:
    assert rho_cap_nano(8.0, 1e-6) == math.floor(Fraction(gaussian_mu(8.0, 1e-6)) ** 2 * NANO / 2)
    assert nano_up(2.0) == nano_down(2.0) == 2 * NANO
    assert (nano_up(1.2345678912), nano_down(1.2345678912)) == (1_234_567_892, 1_234_567_891)
    for convert, what in ((nano_up, "a charge"), (nano_down, "a cap")):
        with pytest.raises(InputError, match=f"{what} is 0"):
            convert(0.0)


@pytest.mark.parametrize(
    ("mu", "stated"),
    [
        (0.26812, "0.2682"),
        (0.2681, "0.2681"),
        (0.30000001, "0.3001"),
        (3.12311, "3.124"),
        (12.3401, "12.35"),
        (0.012341, "0.0124"),
        (1.0, "1"),
    ],
)
def test_a_stated_mu_is_never_below_the_real_one(mu: float, stated: str) -> None:
    c = replace(calibrate(epsilon=1.0, delta=1e-5, maximum=1.0), mu=mu)
    assert guarantee(c).endswith(f"accounted as {stated}-GDP") and float(stated) >= mu


@pytest.mark.parametrize(("delta", "shown"), [(1e-5, "1e-5"), (1e-10, "1e-10"), (0.001, "0.001"), (2.5e-7, "2.5e-7")])
def test_people_read_delta_without_a_leading_zero(delta: float, shown: str) -> None:
    assert delta_text(delta) == shown
    assert epsilon_text(0.0) == "0" and epsilon_text(123.4) == "124" and epsilon_text(0.12341) == "0.124"


def test_calibrations_are_compared_by_their_numbers() -> None:
    assert calibrate(epsilon=1.0, delta=1e-5, maximum=1.0) == calibrate(epsilon=1.0, delta=1e-5, maximum=3.0)
    assert isinstance(calibrate(epsilon=1.0, delta=1e-5, maximum=1.0), Calibration)


# Counts that are shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, 0),
        (4, 0),
        (5, 10),
        (9, 10),
        (14, 10),
        (15, 20),
        (99, 100),
        (104, 100),
        (105, 110),
        (999, 1_000),
        (1_000, 1_000),
        (1_049, 1_000),
        (1_050, 1_100),
        (1_234, 1_200),
        (9_999, 10_000),
        (12_345, 12_000),
    ],
)
def test_a_shown_count_has_two_digits(count: int, shown: int) -> None:
    assert two_digits(count) == shown


@pytest.mark.parametrize(("count", "shown"), [(0, 0), (1, 10), (4, 10), (9, 10), (10, 10), (14, 10), (1_234, 1_200)])
def test_a_few_rejected_rows_are_never_hidden(count: int, shown: int) -> None:
    assert never_hidden(count) == shown


# Noise


def test_a_row_is_scaled_to_its_clip_and_cut_toward_zero() -> None:
    assert to_grid(np.array([[0.3, -0.4], [3.0, -4.0], [0.0, 0.999999]]), 1.0, 10).tolist() == [
        [3, -4],
        [6, -8],
        [0, 9],
    ]
    assert to_grid(np.array([[1.5]]), 3.0, 2**30).tolist() == [[2**29]]
    assert to_grid(np.array([[1.0]]), 2.2250738585072014e-308, 1).tolist() == [[0]], "too large for its clip"
    assert to_grid(np.ones((1, 1)), 1.0, 1).tolist() == [[1]]


def test_a_sum_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    whole = to_grid(rows, 2.0, 1_000).sum(axis=0)
    for chunk in (1, 4, 7, 10**6):
        monkeypatch.setattr(mechanisms, "_CHUNK_VALUES", chunk)
        assert integer_sum(rows, clip=2.0, steps=1_000).tolist() == whole.tolist()
    assert integer_sum(np.zeros((4, 0)), clip=2.0).size == 0


def test_totals_of_shards_are_added_by_block() -> None:
    parts = [
        Totals({"a": np.array([1, 2]), "b": np.array([5])}),
        Totals({"a": np.array([10, 20]), "b": np.array([50])}),
    ]
    found = add_totals(parts).blocks
    assert {k: v.tolist() for k, v in found.items()} == {"a": [11, 22], "b": [55]}
    with pytest.raises(InputError, match="no shards"):
        add_totals([])


@pytest.mark.parametrize(("sigma", "share", "steps"), [(2.0, 0.25, 1_000), (0.5, 1.0, 2**20)])
def test_noise_has_clip_times_sigma_over_the_root_of_the_share(sigma: float, share: float, steps: int) -> None:
    for block in (
        noise_once(np.zeros(2, np.int64), clip=3.0, sigma=sigma, share=share, steps=steps),
        noisy_total(np.zeros(2, np.int64), clip=3.0, sigma=sigma, share=share, steps=steps),
        noisy_sum(np.zeros((1, 2)), clip=3.0, sigma=sigma, share=share, steps=steps),
    ):
        assert block.sd == pytest.approx(3.0 * sigma / math.sqrt(share))
        assert share / (2 * sigma**2) * (1 - 1e-12) < block.rho <= share / (2 * sigma**2)
    quiet = noisy_total(np.array([steps, -2 * steps]), clip=3.0, sigma=None, share=share, steps=steps)
    assert quiet.values.tolist() == [3.0, -6.0]


def test_values_are_sums_in_units_of_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanisms, "_discrete_gaussian", lambda total, **_: (total + 5, 1e-9))
    block = noise_once(np.array([100, -5]), clip=3.0, sigma=1.0, share=0.5, steps=10)
    assert block.values.tolist() == pytest.approx([31.5, 0.0]) and block.rho == 1e-9


def test_noise_that_would_spend_more_than_its_share_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for rho, refused in ((0.25, False), (math.nextafter(0.25, 1), True), (math.nan, True)):
        monkeypatch.setattr(mechanisms, "_discrete_gaussian", lambda total, rho=rho, **_: (total, rho))
        if refused:
            with pytest.raises(RuntimeError, match="none was drawn"):
                noise_once(np.zeros(1, np.int64), clip=1.0, sigma=1.0, share=0.5)
        else:
            assert noise_once(np.zeros(1, np.int64), clip=1.0, sigma=1.0, share=0.5).rho == 0.25


def test_noise_is_scaled_a_few_last_places_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []

    def drawn(total: np.ndarray, scale: float, sensitivity: float) -> tuple[np.ndarray, float]:
        asked.append((scale, sensitivity))
        return total, 0.0

    monkeypatch.setattr(mechanisms, "_discrete_gaussian", drawn)
    noise_once(np.zeros(1, np.int64), clip=1.0, sigma=2.0, share=0.25, steps=1_000)
    ((scale, sensitivity),) = asked
    assert sensitivity == 1_000.0 and 0 < scale / 4_000.0 - 1 < 1e-14


# Tables


def test_a_tables_ratio_is_the_largest_over_all_inputs_and_outputs() -> None:
    """Slowly, over every pair: an output's probability is its noise, and at the ends all noise beyond as well."""
    table = geometric_table(Fraction(3))
    steps = THRESHOLD_STEPS

    def probability(i: int, o: int) -> int:
        if o == 0:
            return sum(table[: steps - i + 1])
        if o == steps:
            return sum(table[steps + (steps - i) :])
        return table[steps + o - i]

    largest = Fraction(0)
    for o in (0, 1, 100, 255, 256):
        seen = [probability(i, o) for i in range(steps + 1)]
        largest = max(largest, Fraction(max(seen), min(seen)))
    assert number_ratio(table) == largest


def test_weights_fall_by_one_rate_and_ends_hold_the_rest() -> None:
    table = geometric_table(Fraction(2))
    decay = math.exp(-2 / 256)
    assert table[-1] / THRESHOLD_WHOLE == pytest.approx(decay**256 / (1 + decay), rel=1e-12)
    assert table[256] / THRESHOLD_WHOLE == pytest.approx((1 - decay) / (1 + decay), rel=1e-12)
    right = table[256:512]
    assert all(farther / nearer == pytest.approx(decay, rel=1e-9) for nearer, farther in pairwise(right))
    assert min(geometric_table(Fraction(30))) >= 1


def test_the_least_epsilon_has_a_table_and_far_less_has_none() -> None:
    assert sum(noise_table(1e-7)) == THRESHOLD_WHOLE
    with pytest.raises(ValueError, match="spends as little"):
        noise_table(1e-13)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_other_categories_have_the_least_weight_that_keeps_the_epsilon(count: int) -> None:
    stays, other = category_table(1.5, count)
    assert stays + (count - 1) * other == THRESHOLD_WHOLE
    assert log_above(Fraction(stays, other)) <= Fraction(1.5)
    assert Fraction(stays + count - 1, other - 1) > Fraction(math.exp(1.5))
    assert category_table(1.5, 1) == category_table(1.5, 0) == (THRESHOLD_WHOLE, 0)


@pytest.mark.parametrize("epsilon", [1e-3, 1.0, 30.0, 50.0])
def test_the_deviation_of_geometric_noise(epsilon: float) -> None:
    rate = min(epsilon, 30.0) / 256
    assert noise_sd(epsilon) == pytest.approx(math.sqrt(2 * math.exp(-rate)) / (1 - math.exp(-rate)))


@pytest.mark.parametrize("delta", [1e-16, 1e-30])
def test_a_delta_that_the_grid_alone_uses_up_is_refused(delta: float) -> None:
    with pytest.raises(InputError, match="is too small for epsilon 1 on a grid of 1048576 steps"):
        calibrate(epsilon=1.0, delta=delta, maximum=1.0)
