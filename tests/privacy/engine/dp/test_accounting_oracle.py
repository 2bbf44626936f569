"""Numbers that dp-accounting 0.6.0 printed (``python -m benchmarks.accounting``): ours agree, or are never the smaller ones."""

from __future__ import annotations

import math

import pytest

from privacy.engine.dp.accounting import (
    NANO,
    calibrate,
    charge_pure,
    epsilon_of_account,
    epsilon_of_gdp,
    gaussian_delta,
    gaussian_mu,
)
from tests.factories.zcdp import epsilon_of_zcdp

# get_epsilon_gaussian: sigma, delta, epsilon
EPSILONS = [
    (0.5, 1e-4, 8.87686946366334), (0.5, 1e-6, 10.997151214220652), (1.0, 1e-5, 4.377178095681137),
    (2.0, 1e-6, 2.254084650219736), (3.73, 1e-5, 1.0001859595371294), (3.73, 1e-9, 1.5021641000108754),
    (10.0, 1e-5, 0.34066936468432835), (40.0, 1e-4, 0.05698660169835787),
]  # fmt: skip
# get_sigma_gaussian: epsilon, delta, sigma
SIGMAS = [
    (0.05, 1e-4, 44.784592751738145), (0.3, 1e-5, 11.238044464492939), (1.0, 1e-6, 4.224678889326822),
    (3.0, 1e-9, 1.9437242635119703),
]  # fmt: skip
# GaussianPrivacyLoss.get_delta_for_epsilon: sigma, epsilon, delta
CURVE = [
    (0.5, 0.05, 0.674710123474317), (1.0, 0.05, 0.3675570165615953), (2.0, 0.05, 0.17782825286146886),
    (3.73, 0.05, 0.08561843564247779), (10.0, 0.05, 0.02026745713743533), (40.0, 0.05, 0.0002176277755975911),
]  # fmt: skip
# Privacy loss distributions of Gaussians in steps of 2e-5, rounded up, at delta 1e-6: releases by epsilon, epsilon of all
COMPOSED: list[tuple[dict[float, int], float]] = [
    ({1.0: 1}, 0.9999999055674103), ({1.0: 4}, 2.122856929609664), ({0.5: 24}, 2.7966258524469794),
    ({0.1: 100}, 1.1777407246186706), ({0.3: 10, 1.0: 2}, 1.8326194378463414),
    ({0.05: 50, 0.5: 3, 1.0: 1}, 1.4588786095904185),
]  # fmt: skip
# The same with randomised response between two answers: pure releases, Gaussian releases, epsilon of all
PURE: list[tuple[dict[float, int], dict[float, int], float]] = [
    ({0.5: 1}, {}, 0.5000183934680498), ({1.0: 1}, {}, 0.9999986321196231), ({0.1: 10}, {}, 0.999570905722388),
    ({0.5: 10}, {}, 5.0000854711101015), ({1.0: 20}, {}, 19.999473897116683), ({0.05: 100}, {}, 2.209002587247191),
    ({0.5: 2}, {1.0: 1}, 1.9492900640059614), ({1.0: 1}, {0.5: 2}, 1.7125141329419302),
    ({0.1: 5, 0.5: 2}, {0.3: 3}, 1.898838980986816), ({1.0: 8}, {1.0: 8}, 10.734171255228915),
]  # fmt: skip
# RdpAccountant on a ZCDpEvent over 1,400 orders at delta 1e-6: rho, epsilon
ZCDP = [
    (0.001, 0.18289791650183773), (0.01, 0.6216980776761588), (0.0359, 1.2313014472059565), (0.1, 2.141970568973977),
    (0.5, 5.221543424960961), (1.0, 7.766216906422116), (4.0, 17.861346350779794),
]  # fmt: skip


@pytest.mark.parametrize(("sigma", "delta", "oracle"), EPSILONS)
def test_epsilon_of_one_gaussian_agrees(sigma: float, delta: float, oracle: float) -> None:
    assert epsilon_of_gdp(1 / sigma, delta) == pytest.approx(oracle, abs=1e-9)


@pytest.mark.parametrize(("epsilon", "delta", "oracle"), SIGMAS)
def test_the_least_noise_agrees(epsilon: float, delta: float, oracle: float) -> None:
    assert 1 / gaussian_mu(epsilon, delta) == pytest.approx(oracle, rel=1e-9)


@pytest.mark.parametrize(("sigma", "epsilon", "oracle"), CURVE)
def test_the_privacy_curve_agrees(sigma: float, epsilon: float, oracle: float) -> None:
    assert gaussian_delta(epsilon, 1 / sigma) == pytest.approx(oracle, rel=1e-9)


@pytest.mark.parametrize(("releases", "oracle"), COMPOSED)
def test_an_account_of_many_agrees_with_composed_losses(releases: dict[float, int], oracle: float) -> None:
    assert _account({}, releases) == pytest.approx(oracle, abs=1e-6)


@pytest.mark.parametrize(("pure", "gaussian", "oracle"), PURE)
def test_pure_releases_in_a_gaussian_account_are_never_optimistic(
    pure: dict[float, int], gaussian: dict[float, int], oracle: float
) -> None:
    assert _account(pure, gaussian) >= oracle


def _account(pure: dict[float, int], gaussian: dict[float, int]) -> float:
    rho = sum(charge_pure(epsilon=e, maximum=1.0).rho_nano * n for e, n in pure.items())
    rho += sum(calibrate(epsilon=e, delta=1e-6, maximum=1.0).rho_nano * n for e, n in gaussian.items())
    return epsilon_of_account(rho, 1e-6)


@pytest.mark.parametrize(("rho", "oracle"), ZCDP)
def test_zcdp_agrees_over_its_orders_and_is_above_a_gaussian_of_the_same_rho(rho: float, oracle: float) -> None:
    ours = epsilon_of_zcdp(rho, 1e-6)
    assert oracle * (1 - 1e-4) <= ours <= oracle
    assert ours > epsilon_of_gdp(math.sqrt(2 * rho), 1e-6)


@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 0.5, 1.0])
def test_a_pure_charge_covers_its_trade_off_at_every_false_positive_rate(epsilon: float) -> None:
    """The trade-off function of mu-GDP lies below that of epsilon, on which it is exact at one point (decision 11)."""
    from statistics import NormalDist

    normal, mu = NormalDist(), math.sqrt(2 * charge_pure(epsilon=epsilon, maximum=1.0).rho_nano / NANO)
    for i in range(1, 1_000):
        alpha = i / 1_000
        gaussian = normal.cdf(normal.inv_cdf(1 - alpha) - mu)
        pure = max(0.0, 1 - math.exp(epsilon) * alpha, math.exp(-epsilon) * (1 - alpha))
        assert gaussian <= pure + 1e-12
