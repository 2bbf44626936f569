"""Numbers that dp-accounting 0.6.0 printed (``python -m benchmarks.accounting``): ours agree, or are never the smaller ones."""

from __future__ import annotations

import math

import pytest

from privacy.engine.accounting import NANO, calibrate, charge_pure, epsilon_of_account, epsilon_of_gdp, epsilon_of_zcdp

GAUSSIAN = [
    (0.5, 1e-4, 8.8768695), (0.5, 1e-6, 10.9971512), (1.0, 1e-5, 4.3771781), (2.0, 1e-5, 1.9930914), (3.73, 1e-5, 1.0001860),
    (3.73, 1e-6, 1.1438220), (10.0, 1e-5, 0.3406694), (40.0, 1e-4, 0.0569866),
]  # fmt: skip
ACCOUNTS = [(4, 1.0, 2.1228569), (24, 0.5, 2.7966258), (100, 0.1, 1.1777407)]
PURE = [
    ((0.5,), (), 0.499998),
    ((0.5, 0.5), (1.0,), 1.9278675),
    ((1.0,), (0.5, 0.5), 1.6979872),
    ((0.1,) * 10, (), 0.9989781),
]
ZCDP = [(0.01, 0.5750552), (0.1, 1.9945269), (0.5, 4.8865541), (1.0, 7.2860810)]


@pytest.mark.parametrize(("sigma", "delta", "oracle"), GAUSSIAN)
def test_one_gaussian_agrees(sigma: float, delta: float, oracle: float) -> None:
    assert epsilon_of_gdp(1 / sigma, delta) == pytest.approx(oracle, abs=1e-6)


@pytest.mark.parametrize(("count", "epsilon", "oracle"), ACCOUNTS)
def test_an_account_of_many_agrees(count: int, epsilon: float, oracle: float) -> None:
    one = calibrate(epsilon=epsilon, delta=1e-6, maximum=1.0)
    assert epsilon_of_account(one.rho_nano * count, 1e-6) == pytest.approx(oracle, abs=1e-6)


@pytest.mark.parametrize(("pure", "gaussian", "oracle"), PURE)
def test_pure_releases_in_a_gaussian_account_are_never_optimistic(
    pure: tuple[float, ...], gaussian: tuple[float, ...], oracle: float
) -> None:
    rho = sum(charge_pure(epsilon=e, maximum=1.0).rho_nano for e in pure)
    rho += sum(calibrate(epsilon=e, delta=1e-6, maximum=1.0).rho_nano for e in gaussian)
    assert epsilon_of_account(rho, 1e-6) >= oracle


@pytest.mark.parametrize(("rho", "oracle"), ZCDP)
def test_zcdp_is_never_optimistic(rho: float, oracle: float) -> None:
    assert epsilon_of_zcdp(rho, 1e-6) >= oracle


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
