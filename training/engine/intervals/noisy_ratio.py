"""Compute confidence intervals from noisy sums over users, because nothing finer may leave the trust boundary.

The charged evaluation clips each user's pair (A_g, B_g) to public bounds. It adds up over users and releases six sums with
Gaussian noise of known size: the number of users, sum A, sum B, sum A^2, sum AB and sum B^2. The estimate is theta = SA / SB
of the *clipped* quantities. Its error has two independent parts:

    sampling   V = SAA - 2 theta SAB + theta^2 SBB = sum (A - theta B)^2, times n/(n-1)
    privacy    N = sd_A^2 + theta^2 sd_B^2, known exactly

with n = SB^2 / SBB effective users. The interval is {theta: (SA - theta SB)^2 <= t^2 (V + N(theta))}. The privacy part uses
Fieller's set, because the noise of the denominator need not be small. The sampling part uses the usual expansion. Without
noise, the result is the interval of ``training.engine.intervals.clustered`` for users of equal weight.

Noise in V lowers the degrees of freedom (Satterthwaite: dof = 2 W^2 / Var W, W = V + N, Var W = 2 V^2 / (n-1) plus the
variance of V's noise). This alone covered .946 to .986 in simulation. V is therefore also raised by half a standard deviation
of its noise. Every noisy cell then covers .95 or more, at a cost of 1 to 4% of width from 600 people on.

The noise in V may leave fewer than 8 degrees of freedom, if V is small beside it and N smaller still. V is then raised by two
standard deviations of its noise and treated as known, with the users' own degrees of freedom.

If the sum of denominators is within 3 noise sd of zero, the interval is unbounded and the evidence is insufficient.

Sources: Fieller (1954), "Some problems in interval estimation"; Zou and Donner (2008), MOVER.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from training.engine.intervals.clustered import (
    MIN_DOF,
    MIN_ESS,
    POWER,
    Interval,
    Tails,
    effective_n,
    jeffreys_bounds,
    quantile,
    ratio_or_infinite,
)

MARGIN = 0.5  # V is raised by this many sd of its noise
BOUND = 2.0  # V is raised by this many sd of its noise if Satterthwaite leaves too few degrees of freedom
CLEAR_OF_NOISE = 3.0  # the sum of denominators must be this many noise sd above zero


@dataclass(frozen=True)
class MetricSums:
    """Hold six released sums of one metric, the noise sd of each, and the public clips of the summands.

    For every user |A_g| <= clip_a and 0 <= B_g <= clip_b. A sd of 0 means that the number is exact. ``clip_a`` documents the
    unit of A. The formulas use ``clip_b`` only.
    """

    users: float
    a: float
    b: float
    aa: float
    ab: float
    bb: float
    clip_a: float
    clip_b: float
    sd_users: float = 0.0
    sd_a: float = 0.0
    sd_b: float = 0.0
    sd_aa: float = 0.0
    sd_ab: float = 0.0
    sd_bb: float = 0.0

    def __post_init__(self) -> None:
        if not (self.clip_a > 0 and self.clip_b > 0):
            raise ValueError("clip_a and clip_b must be above 0.")
        if not all(sd >= 0 for sd in (self.sd_users, self.sd_a, self.sd_b, self.sd_aa, self.sd_ab, self.sd_bb)):
            raise ValueError("Each noise sd must be 0 or more.")
        if not all(map(math.isfinite, (self.users, self.a, self.b, self.aa, self.ab, self.bb))):
            raise ValueError("The six sums must be finite.")


@dataclass(frozen=True)
class _Parts:
    """Hold theta with the variances of SA - theta SB: sampling, privacy, and the margin for noise in the sampling part.

    ``n``: effective number of users. ``n_low``: a cautious estimate of it. ``dof``: degrees of freedom of the whole variance.
    """

    theta: float
    sampling: float
    margin: float
    privacy: float
    n: float
    n_low: float
    dof: float


def sums_interval(sums: MetricSums, *, level: float = 0.95, tails: Tails = "two") -> Interval:
    """Compute the interval of theta = SA / SB from noisy sums, by the module's formula.

    ``ess`` of the result is the effective number of users SB^2 / SBB, at most the number of users. The interval is unbounded
    with 0 dof if SB is under 3 noise sd. It is also unbounded if SB could be 0 at the requested level (Fieller).
    """
    parts = _parts(sums)
    if parts is None:
        return _unknown(sums, level, tails, -math.inf, math.inf)
    t = quantile(level, tails, parts.dof) if parts.dof > 0 else math.inf
    low, high = _fieller(sums, parts.theta, parts.sampling + parts.margin, t)
    return _interval(sums, parts, low, high, level, tails, (-math.inf, math.inf))


def sums_ratio_interval(sums: MetricSums, *, level: float = 0.95, tails: Tails = "two") -> Interval:
    """Compute a Jeffreys-like interval of a share in [0, 1] (0 <= A_g <= B_g, clip_a <= clip_b) from noisy sums.

    The sampling part is the Jeffreys interval on n_e = p(1-p) SB^2 / V (z/t)^2, and the privacy part is Fieller's. Their
    distances from the estimate add in squares (Zou and Donner 2008, MOVER), so noise reduces the effective n. n_e is at least
    SB / clip_b (z/t)^2, because 0 <= A <= B <= clip_b implies sum (A - pB)^2 <= p(1-p) clip_b sum B. An observed 0 with a
    noisy V is therefore still informative.
    """
    parts = _parts(sums)
    if parts is None:
        unknown = _unknown(sums, level, tails, 0.0, 1.0)
        return replace(
            unknown, estimate=unknown.estimate if math.isnan(unknown.estimate) else _within(unknown.estimate)
        )
    p = _within(parts.theta)
    low, high = jeffreys_bounds(p, _effective_n(sums, parts, p, level, tails), level=level, tails=tails)
    noise_low, noise_high = _fieller(sums, p, 0.0, quantile(level, tails))
    low, high = max(0.0, p - math.hypot(p - low, p - noise_low)), min(1.0, p + math.hypot(high - p, noise_high - p))
    return replace(_interval(sums, parts, low, high, level, tails, (0.0, 1.0)), estimate=p)


def _within(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def users_needed_from_sums(sums: MetricSums, min_effect: float, *, level: float = 0.95, power: float = POWER) -> float:
    """Return about how many people would show ``min_effect``, or infinity if that cannot be estimated.

    With m times the people, the sampling variance falls by m and the privacy variance by m^2. So m is the root of
    m^2 d^2 - q^2 v m - q^2 w = 0 (d = min_effect, q = z_level + z_power, v = V/SB^2, w = (N + margin)/SB^2). It is at least 1,
    50/ESS, 8/dof, and the factor that lifts SB to 3 noise sd. Sums smaller than their noise are replaced by one noise sd, which
    gives only an order of magnitude.

    Args:
        min_effect: the declared smallest effect, in units of theta.
        level: one-sided level of the test.
        power: probability of finding ``min_effect``.
    Raises: ValueError when ``min_effect`` is not above 0.
    """
    if not min_effect > 0:
        raise ValueError(f"The minimum effect is {min_effect}; it must be above 0.")
    known = _positive_counts(sums)
    parts = _parts(known, floor=0.0)
    if parts is None:
        return math.inf
    q2 = (quantile(level, "lower") + quantile(power, "lower")) ** 2
    v, w = parts.sampling / known.b**2, (parts.privacy + parts.margin) / known.b**2
    effect = (q2 * v + math.sqrt(q2**2 * v**2 + 4 * min_effect**2 * q2 * w)) / (2 * min_effect**2)
    clear = CLEAR_OF_NOISE * known.sd_b / known.b
    enough = max(1.0, effect, clear, ratio_or_infinite(MIN_ESS, parts.n), ratio_or_infinite(MIN_DOF, parts.n_low - 1))
    return float(math.ceil(known.users * enough)) if math.isfinite(enough) else math.inf


def users_needed_for_bar(
    sums: MetricSums, bar: float, *, level: float = 0.95, share: bool = False, at_most: bool = False
) -> float:
    """Return about how many people would bring the one-sided bound to ``bar`` if the estimate did not change.

    The result is infinite if the estimate is on the wrong side of the bar, or if the noise leaves no estimate.

    Args:
        level: one-sided level of the bound.
        share: whether theta is a share in [0, 1].
        at_most: whether the upper bound must be at or below the bar. Otherwise the lower bound must be at or above it.
    """
    interval_of: Callable[..., Interval] = sums_ratio_interval if share else sums_interval
    tails: Tails = "upper" if at_most else "lower"
    known = _positive_counts(sums)

    def clears(times: float) -> bool:
        interval = interval_of(_scaled(known, times), level=level, tails=tails)
        return interval.high <= bar if at_most else interval.low >= bar

    top = 1.0
    while not clears(top):
        top *= 2
        if top > 1e9:
            return math.inf
    bottom = top / 2
    while top > 1 and top - bottom > 0.01 * top:
        middle = (top + bottom) / 2
        bottom, top = (bottom, middle) if clears(middle) else (middle, top)
    return float(math.ceil(known.users * top))


def _parts(sums: MetricSums, floor: float = CLEAR_OF_NOISE) -> _Parts | None:
    """Compute the estimate and its variances, or None if SB is not at least ``floor`` sd of its noise above zero."""
    if not (sums.b > 0 and sums.b >= floor * sums.sd_b and sums.users > 0):
        return None
    theta = sums.a / sums.b
    n, n_low = _effective_users(sums, 0.0), _effective_users(sums, sums.sd_bb)
    small = n_low / (n_low - 1) if n_low > 1 else math.inf  # the CR2 factor of equal users
    spread = max(sums.aa - 2 * theta * sums.ab + theta**2 * sums.bb, 0.0)
    noise = math.sqrt(sums.sd_aa**2 + 4 * theta**2 * sums.sd_ab**2 + theta**4 * sums.sd_bb**2)
    privacy = sums.sd_a**2 + theta**2 * sums.sd_b**2
    if n_low <= 1:
        return _Parts(theta, math.inf, math.inf, privacy, n, n_low, 0.0)
    sampling, margin = spread * small, MARGIN * noise * small
    uncertain = 2 * sampling**2 / (n_low - 1) + (noise * small) ** 2
    dof = 2 * (sampling + margin + privacy) ** 2 / uncertain if uncertain > 0 else n_low - 1
    if dof < MIN_DOF <= n_low - 1:
        margin, dof = BOUND * noise * small, n_low - 1
    return _Parts(theta, sampling, margin, privacy, n, n_low, dof)


def _effective_users(sums: MetricSums, margin: float) -> float:
    """Return SB^2 / (SBB + margin) within its possible range: at most the users (Cauchy-Schwarz), at least SB / clip_b."""
    square = min(max(sums.bb + margin, sums.b**2 / sums.users), sums.clip_b * sums.b)
    return min(sums.b**2 / square, sums.users)


def _fieller(sums: MetricSums, theta: float, sampling: float, t: float) -> tuple[float, float]:
    """Solve (a - x b)^2 = t^2 (sampling + sd_a^2 + x^2 sd_b^2) for x, with a = theta b. Roots are infinite if unbounded."""
    square = sums.b**2 - t**2 * sums.sd_b**2
    if not math.isfinite(t) or square <= 0:
        return -math.inf, math.inf
    a = theta * sums.b
    variance = sampling + sums.sd_a**2
    # (a b)^2 - square (a^2 - t^2 variance), rearranged to avoid cancellation
    root = t * math.sqrt(sums.b**2 * variance + a**2 * sums.sd_b**2 - t**2 * sums.sd_b**2 * variance)
    return (a * sums.b - root) / square, (a * sums.b + root) / square


def _effective_n(sums: MetricSums, parts: _Parts, p: float, level: float, tails: Tails) -> float:
    """Return the effective n of a share's sampling part: the larger of the values that V and the clip imply."""
    dof = parts.n_low - 1
    if dof <= 0:
        return 0.0
    se = math.sqrt(parts.sampling + parts.margin) / sums.b
    floor = sums.b / sums.clip_b * dof / parts.n_low * (quantile(level, tails) / quantile(level, tails, dof)) ** 2
    n = effective_n(p, se, dof, level=level, tails=tails)
    return max(n, floor) if math.isfinite(n) else floor


def _scaled(sums: MetricSums, times: float) -> MetricSums:
    """Return the sums that ``times`` as many similar people would give, with the same noise."""
    return replace(
        sums,
        users=sums.users * times,
        a=sums.a * times,
        b=sums.b * times,
        aa=sums.aa * times,
        ab=sums.ab * times,
        bb=sums.bb * times,
    )


def _positive_counts(sums: MetricSums) -> MetricSums:
    """Return the sums with users and SB raised to at least one sd of their noise, because both must be positive."""
    return replace(sums, users=max(sums.users, sums.sd_users), b=max(sums.b, sums.sd_b))


def _interval(
    sums: MetricSums, parts: _Parts, low: float, high: float, level: float, tails: Tails, ends: tuple[float, float]
) -> Interval:
    """Assemble the interval. A bound on an open side is the end of the range."""
    se = math.sqrt(parts.sampling + parts.margin + parts.privacy) / sums.b
    low, high = (ends[0] if tails == "upper" else low), (ends[1] if tails == "lower" else high)
    return Interval(parts.theta, low, high, se, parts.dof, parts.n, sums.users, level, tails)


def _unknown(sums: MetricSums, level: float, tails: Tails, low: float, high: float) -> Interval:
    estimate = sums.a / sums.b if sums.b > 0 else math.nan
    return Interval(estimate, low, high, math.inf, 0.0, 0.0, max(sums.users, 0.0), level, tails)
