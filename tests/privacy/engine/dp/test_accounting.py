"""Golden numbers name their source; everything else is an invariant."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from privacy.engine.dp.accounting import (
    LATTICE_STEPS,
    NANO,
    calibrate,
    calibration_part,
    epsilon_of_account,
    epsilon_of_gdp,
    epsilon_text,
    gaussian_delta,
    gaussian_mu,
    guarantee,
    lattice_delta,
    nano_down,
    nano_up,
    rho_cap_nano,
)
from tests.factories.zcdp import epsilon_of_zcdp

EPSILONS = st.floats(1e-3, 8.0)
DELTAS = st.sampled_from([1e-6, 1e-5, 1e-3])


# Balle and Wang 2018, algorithm 1 (analytic Gaussian) at delta 1e-5, sensitivity 1.
@pytest.mark.parametrize(("epsilon", "sigma"), [(0.3, 11.2), (1.0, 3.73), (3.0, 1.39)])
def test_noise_multiplier_is_the_analytic_gaussian_one(epsilon: float, sigma: float) -> None:
    assert 1 / gaussian_mu(epsilon, 1e-5) == pytest.approx(sigma, rel=5e-3)
    assert calibrate(epsilon=epsilon, delta=1e-5, maximum=3.0).sigma == pytest.approx(sigma, rel=5e-3)


def test_delta_of_one_gdp_at_epsilon_one() -> None:
    # Phi(-1/2) - e Phi(-3/2), the closed form of Dong, Roth and Su 2022, corollary 1, at mu = epsilon = 1.
    assert gaussian_delta(1.0, 1.0) == pytest.approx(0.3085375387 - math.e * 0.0668072013, abs=1e-9)


def test_four_default_releases_on_the_same_people_compose_to_epsilon_2_15() -> None:
    one = calibrate(epsilon=1.0, delta=1e-5, maximum=1.0)
    assert epsilon_of_account(4 * one.rho_nano, 1e-5) == pytest.approx(2.15, abs=0.01)


def test_zcdp_would_need_more_noise_for_the_same_promise() -> None:
    assert epsilon_of_zcdp(1 / (2 * 3.73**2), 1e-5) == pytest.approx(1.09, abs=0.005)
    assert epsilon_of_zcdp(1 / (2 * 4.05**2), 1e-5) == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize("rho", [1e-4, 0.0359, 0.5, 2.56, 40.0])
@pytest.mark.parametrize("delta", [1e-10, 1e-5])
def test_zcdp_conversion_agrees_with_an_independent_implementation(rho: float, delta: float) -> None:
    from opendp.combinators import make_zCDP_to_approxDP
    from opendp.domains import atom_domain
    from opendp.measurements import make_gaussian
    from opendp.metrics import absolute_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    gaussian = make_gaussian(atom_domain(T="i64"), absolute_distance(T="f64"), scale=1000.0)
    profile = make_zCDP_to_approxDP(gaussian).map(1000.0 * math.sqrt(2 * rho))
    ours = epsilon_of_zcdp(rho, delta)
    assert ours == pytest.approx(profile.epsilon(delta), rel=1e-6, abs=1e-9)


@given(EPSILONS, DELTAS)
def test_conversions_are_each_others_inverse(epsilon: float, delta: float) -> None:
    mu = gaussian_mu(epsilon, delta)
    assert gaussian_delta(epsilon, mu) <= delta
    assert epsilon_of_gdp(mu, delta) == pytest.approx(epsilon, rel=1e-6)


@given(EPSILONS, DELTAS)
def test_gdp_is_never_worse_than_zcdp_for_a_gaussian(epsilon: float, delta: float) -> None:
    mu = gaussian_mu(epsilon, delta)
    assert epsilon_of_gdp(mu, delta) <= epsilon_of_zcdp(mu * mu / 2, delta) + 1e-9


@given(EPSILONS, DELTAS)
def test_what_is_spent_is_never_above_the_charge_nor_the_charge_above_what_was_asked(
    epsilon: float, delta: float
) -> None:
    c = calibrate(epsilon=epsilon, delta=delta, maximum=8.0)
    spent = 1 / (2 * Fraction(c.sigma) ** 2)
    charged = Fraction(c.rho_nano, NANO)
    assert spent <= charged <= Fraction(gaussian_mu(epsilon, delta)) ** 2 / 2
    assert c.rho_nano > 0 and c.policy_nano >= epsilon * NANO * (1 - 1e-15)
    within = delta - lattice_delta(epsilon=epsilon, sigma=c.sigma)
    assert gaussian_delta(epsilon, 1 / c.sigma) <= within


@given(EPSILONS, EPSILONS, DELTAS)
def test_a_larger_epsilon_never_means_more_noise_or_a_smaller_charge(a: float, b: float, delta: float) -> None:
    low, high = (calibrate(epsilon=e, delta=delta, maximum=8.0) for e in sorted((a, b)))
    assert low.sigma >= high.sigma
    assert low.rho_nano <= high.rho_nano and low.policy_nano <= high.policy_nano


@pytest.mark.parametrize("epsilon", [math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 5e-324, 1e-310, 1.0000001, 1e-30])
def test_an_unusable_epsilon_is_refused_in_words(epsilon: float) -> None:
    with pytest.raises(InputError, match="epsilon"):
        calibrate(epsilon=epsilon, delta=1e-5, maximum=1.0)


@pytest.mark.parametrize("delta", [math.nan, math.inf, 0.0, -1e-5, 1.0, 2.0, 5e-324, 1e-30])
def test_an_unusable_delta_is_refused_in_words(delta: float) -> None:
    with pytest.raises(InputError, match="delta"):
        calibrate(epsilon=1.0, delta=delta, maximum=1.0)


def test_a_delta_above_the_most_is_refused_before_all_else() -> None:
    with pytest.raises(InputError, match="delta 2e-05 is above the most one release may have, 1e-05"):
        calibrate(epsilon=9.0, delta=2e-5, maximum=1.0, maximum_delta=1e-5)
    assert calibrate(epsilon=1.0, delta=1e-5, maximum=1.0, maximum_delta=1e-5).delta == 1e-5


def test_the_guarantee_names_its_unit_its_neighbours_and_its_accounting() -> None:
    assert guarantee(calibrate(epsilon=1.0, delta=1e-5, maximum=1.0)) == (
        "(1, 1e-5)-differential privacy for each user (add or remove one), "
        "by the Gaussian mechanism accounted as 0.2681-GDP"
    )


@pytest.mark.parametrize(
    ("epsilon", "shown"),
    [
        (0.684149, "0.685"),
        (1.0, "1"),
        (1 + 1e-15, "1"),
        (12.345, "12.4"),
        (0.9999, "1"),
        (1e-6, "1e-06"),
        (math.inf, "inf"),
    ],
)
def test_people_read_three_digits_of_an_epsilon_never_less_than_it_is(epsilon: float, shown: str) -> None:
    assert epsilon_text(epsilon) == shown


def test_half_of_a_turn_states_its_epsilon_in_three_digits() -> None:
    half = calibration_part(calibrate(epsilon=1.0, delta=1e-5, maximum=1.0), Fraction(1, 2))
    assert guarantee(half).startswith("(0.685, 1e-5)-differential privacy")


def test_charges_round_up_and_caps_down_as_written_in_decimals() -> None:
    assert nano_up(0.1) == nano_down(0.1) == 100_000_000  # not the binary number just above .1
    assert nano_up(1e-10) == 1
    assert nano_down(1.9e-9) == 1


def test_a_lifetime_cap_is_what_its_own_conversion_allows() -> None:
    cap = rho_cap_nano(8.0, 1e-6)
    assert epsilon_of_account(cap, 1e-6) <= 8.0 < epsilon_of_account(cap + 2, 1e-6)


@pytest.mark.parametrize("scale", [4.0, 16.0])
def test_the_lattice_bound_covers_the_true_distance(scale: float) -> None:
    """Total variation between a rounded continuous and a discrete Gaussian, summed term by term for one number."""
    from scipy.special import ndtr

    k = np.arange(-int(12 * scale), int(12 * scale) + 1)
    rounded = ndtr((k + 0.5) / scale) - ndtr((k - 0.5) / scale)
    discrete = np.exp(-np.square(k) / (2 * scale**2))
    distance = np.abs(rounded - discrete / discrete.sum()).sum() / 2
    bound = lattice_delta(epsilon=0.0, sigma=scale, numbers=1, steps=1) / 2
    assert 0.3 * bound < distance < bound


def test_the_lattice_costs_a_default_release_almost_nothing() -> None:
    assert LATTICE_STEPS == 1 << 20
    assert lattice_delta(epsilon=1.0, sigma=3.73) < 1e-11
