"""Convert (epsilon, delta) to a noise multiplier and a charge. Both come from one place, so they cannot drift apart.

Every release is Gaussian, so an account is one additive number, rho = mu^2 / 2, held in whole nano (1e-9). mu-GDP composes as
the root of summed squares, also under full adaptivity (Dong, Roth and Su 2022, section 3; Smith and Thakurta 2022).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from statistics import NormalDist

from core.errors import InputError

NANO = 1_000_000_000
LATTICE_STEPS = 1 << 20  # grid steps in one clip
_EPSILON = "privacyEpsilon"  # as the API names it
LATTICE_NUMBERS = 100_000  # numbers in one release that ``lattice_delta`` covers
_LARGEST_EPSILON = 700.0  # exp() of a larger number overflows a double


@dataclass(frozen=True)
class Calibration:
    """The noise and the charge of one release.

    ``sigma`` is the noise multiplier: standard deviation over L2 sensitivity. ``mu`` is the largest that (epsilon, delta) allows.
    ``rho_nano`` is mu^2 / 2 in whole nano, and ``sigma`` spends no more: 1 / (2 sigma^2) <= rho_nano * 1e-9 <= mu^2 / 2.
    ``policy_nano`` is epsilon as a policy cost, rounded up.
    """

    epsilon: float
    delta: float
    mu: float
    sigma: float
    rho_nano: int
    policy_nano: int


def calibrate(*, epsilon: float, delta: float, maximum: float, maximum_delta: float = math.inf) -> Calibration:
    """Compute the noise multiplier and the charge of a release that must be (epsilon, delta)-differentially private.

    Raises InputError unless 0 < epsilon <= ``maximum``, 0 < delta < 1 and delta <= ``maximum_delta``, and for values that are
    not finite, subnormal, or too small to be charged.
    """
    if delta > maximum_delta:
        raise InputError(
            f"delta {delta:g} is above the most one release may have, {maximum_delta:g} (MAX_PRIVACY_DELTA)",
            field="delta",
        )
    _check_epsilon(epsilon, maximum)
    _check_positive("delta", delta)
    if delta >= 1:
        raise InputError(f"delta {delta:g} must lie between 0 and 1", field="delta")
    continuous = delta - lattice_delta(epsilon=epsilon, sigma=1 / gaussian_mu(epsilon, delta))
    if continuous <= 0:
        raise InputError(
            f"delta {delta:g} is too small for epsilon {epsilon:g} on a grid of {LATTICE_STEPS} steps; use a larger delta",
            field="delta",
        )
    mu = gaussian_mu(epsilon, continuous)
    rho_nano = math.floor(Fraction(mu) ** 2 * NANO / 2)
    if rho_nano < 1:
        raise InputError(
            f"epsilon {epsilon:g} is too small to be charged: it is less than one nano of rho; use more", field=_EPSILON
        )
    return Calibration(epsilon, delta, mu, sigma_of_rho(rho_nano), rho_nano, nano_up(epsilon))


def calibration_part(whole: Calibration, share: Fraction) -> Calibration:
    """Return the noise and the charge of one of several releases on the same people, which together satisfy ``whole``.

    Rho adds, so a part gets ``share`` of it. Its own epsilon at the same delta is larger than that share of epsilon, because
    Gaussian privacy composes by the root of summed squares. The policy cost is shared like rho.
    Raises InputError unless 0 < share <= 1, and for a part too small to be charged.
    """
    if not 0 < share <= 1:
        raise InputError(f"a share of {share} of a release's budget is not possible; use one above 0 and at most 1")
    if share == 1:
        return whole
    rho_nano = math.floor(whole.rho_nano * share)
    if rho_nano < 1:
        raise InputError(f"a share of {share} of epsilon {whole.epsilon:g} is too small to be charged; use more")
    mu = math.sqrt(2 * rho_nano / NANO)
    epsilon = epsilon_of_gdp(mu, whole.delta)
    return Calibration(epsilon, whole.delta, mu, sigma_of_rho(rho_nano), rho_nano, math.ceil(whole.policy_nano * share))


def sigma_of_rho(rho_nano: int) -> float:
    """Return the noise multiplier that spends ``rho_nano``.

    It is a few units in the last place above the exact root, so that rounding never spends more than the charge.
    """
    return math.sqrt(NANO / (2 * rho_nano)) * (1 + 4 * sys.float_info.epsilon)


@dataclass(frozen=True)
class PureCharge:
    """The charge of a pure epsilon-private release (delta 0): ``rho_nano`` is mu^2 / 2, rounded up."""

    epsilon: float
    mu: float
    rho_nano: int
    policy_nano: int


def charge_pure(*, epsilon: float, maximum: float) -> PureCharge:
    """Compute what a pure release charges to an account that is kept in Gaussian privacy.

    Pure epsilon implies mu-GDP for mu = 2 Phi^-1(e^epsilon / (1 + e^epsilon)). The trade-off function of epsilon is the chords
    through (0, 1), (a, a) and (1, 0) with a = 1 / (1 + e^epsilon). The trade-off function of mu-GDP passes through the same
    three points, and a convex function lies below its chords. So an account that includes pure releases converts like any other.
    Raises InputError unless 0 < epsilon <= ``maximum``, and for an epsilon too small to be charged.
    """
    _check_epsilon(epsilon, maximum)
    mu = math.sqrt(2 * rho_of_pure(epsilon))
    # The inverse normal distribution function is accurate to about 1e-15; adding a billionth covers its error.
    rho_nano = math.ceil(Fraction(mu * (1 + 1e-9)) ** 2 * NANO / 2)
    if rho_nano < 1:
        raise InputError(
            f"epsilon {epsilon:g} is too small to be charged: it is less than one nano of rho; use more", field=_EPSILON
        )
    return PureCharge(epsilon, mu, rho_nano, nano_up(epsilon))


def rho_of_pure(epsilon: float) -> float:
    """Return mu^2 / 2 of a pure epsilon-private release, for mu = 2 Phi^-1(e^epsilon / (1 + e^epsilon))."""
    return 2 * NormalDist().inv_cdf(1 / (1 + math.exp(-epsilon))) ** 2


def _check_epsilon(epsilon: float, maximum: float) -> None:
    _check_positive("epsilon", epsilon)
    if epsilon > maximum:
        raise InputError(
            f"epsilon {epsilon:g} is above the most one release may use, {maximum:g} (MAX_PRIVACY_EPSILON)",
            field=_EPSILON,
        )


def gaussian_delta(epsilon: float, mu: float) -> float:
    """Return the smallest delta at which mu-GDP is (epsilon, delta)-private. Source: Balle and Wang 2018, theorem 8."""
    a, b = epsilon / mu, mu / 2
    return max(0.0, _normal_below(b - a) - math.exp(epsilon) * _normal_below(-a - b))


def gaussian_mu(epsilon: float, delta: float) -> float:
    """Return the largest mu for which mu-GDP implies (epsilon, delta)-privacy.

    1 / mu is the noise multiplier of the analytic Gaussian mechanism.
    """
    _check_positive("epsilon", epsilon)
    if not 0 < delta < 1 or epsilon > _LARGEST_EPSILON:
        raise InputError(
            f"epsilon {epsilon:g} and delta {delta:g} have no Gaussian noise scale; use epsilon <= 700 and 0 < delta < 1"
        )
    return _boundary(lambda mu: gaussian_delta(epsilon, mu) <= delta)[0]


def epsilon_of_gdp(mu: float, delta: float) -> float:
    """Return the smallest epsilon at which mu-GDP is (epsilon, delta)-private. Source: Dong, Roth and Su 2022, corollary 1."""
    if mu == 0 or gaussian_delta(0.0, mu) <= delta:
        return 0.0
    return _boundary(lambda epsilon: epsilon < _LARGEST_EPSILON and gaussian_delta(epsilon, mu) > delta)[1]


def rho_cap_nano(epsilon: float, delta: float) -> int:
    """Return the lifetime rho, in nano and rounded down, of an account that may reach (epsilon, delta) over all its releases."""
    return math.floor(Fraction(gaussian_mu(epsilon, delta)) ** 2 * NANO / 2)


def epsilon_of_account(rho_nano: int, delta: float) -> float:
    """Return the epsilon at delta of all charges to one account, by Gaussian privacy: mu = sqrt(2 rho)."""
    return epsilon_of_gdp(math.sqrt(2 * rho_nano / NANO), delta)


def lattice_delta(*, epsilon: float, sigma: float, numbers: int = LATTICE_NUMBERS, steps: int = LATTICE_STEPS) -> float:
    """Return what the discrete Gaussian adds to the continuous Gaussian's delta, over ``numbers`` released numbers.

    Rounding a continuous Gaussian of scale s to whole numbers is post-processing. Its chi-square distance from the discrete
    Gaussian is 1 / (288 s^4) a number. So the total variation t over all numbers is at most .03 sqrt(numbers) / s^2, where s is
    steps * sigma or more, and delta grows by (1 + e^epsilon) t.
    """
    return (1 + math.exp(epsilon)) * 0.03 * math.sqrt(numbers) / (steps * sigma) ** 2


def epsilon_text(epsilon: float) -> str:
    """Return epsilon for people, in at most three significant digits. It is rounded up, so that no guarantee is overstated."""
    if not math.isfinite(epsilon) or not epsilon:
        return f"{epsilon:g}"
    return _rounded_up(epsilon, 3)


def delta_text(delta: float) -> str:
    """Return delta for people."""
    return f"{delta:g}".replace("e-0", "e-")


def guarantee(calibration: Calibration) -> str:
    """Return the guarantee in one sentence, for people. The stated mu is rounded up, to four decimals and at most four digits."""
    mu = math.ceil(calibration.mu * 1e4) / 1e4
    delta = delta_text(calibration.delta)
    return (
        f"({epsilon_text(calibration.epsilon)}, {delta})-differential privacy for each user (add or remove one), "
        f"by the Gaussian mechanism accounted as {_rounded_up(mu, 4)}-GDP"
    )


def _rounded_up(value: float, digits: int) -> str:
    """Return a number above 0 for people, in at most so many significant digits, never below what it is."""
    exact = Decimal(f"{value:.9g}")  # further digits are errors of floating point
    return f"{float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), ROUND_CEILING)):g}"


def nano_up(units: float) -> int:
    """Convert units to whole nano, rounded up, for charges.

    The number counts as its decimal text: .1 is 100,000,000, although the float is slightly larger.
    """
    _check_positive("a charge", units)
    return math.ceil(Fraction(repr(float(units))) * NANO)


def nano_down(units: float) -> int:
    """Convert units to whole nano, rounded down, for caps."""
    _check_positive("a cap", units)
    return math.floor(Fraction(repr(float(units))) * NANO)


def _check_positive(name: str, value: float) -> None:
    if not math.isfinite(value) or value < sys.float_info.min:
        field = {"epsilon": _EPSILON, "delta": "delta"}.get(name, "")
        raise InputError(f"{name} is {value}; it must be a finite number above 0", field=field)


def _normal_below(x: float) -> float:
    """Return the standard normal distribution function, accurate in both tails."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _boundary(holds: Callable[[float], bool]) -> tuple[float, float]:
    """Return the last true and first false float above 0 of a condition that turns false once."""
    low, high = 0.0, 1.0
    while holds(high):
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high
