"""Compute confidence intervals of a ratio of sums over users, with the user as the unit of evidence.

Every off-policy estimate that the gate reads has one form. Each user g has a numerator ``A_g`` (a weighted sum of outcomes)
and a denominator ``B_g`` (decisions, or weights), and ``theta = sum A / sum B``. One user's decisions depend on each other,
but users are independent. The standard error is therefore clustered by user. Two small-sample corrections keep coverage at
40 people: CR2 residuals and Bell-McCaffrey degrees of freedom. An interval is about the estimand that its ``A`` was built
for ("immediate": the one-step value on logged states, or "long run"). The caller must name it.

Sources: Bell and McCaffrey (2002), "Bias reduction in standard errors for linear regression with multi-stage samples";
Brown, Cai and DasGupta (2001), "Interval estimation for a binomial proportion"; Kish (1965) for the effective size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from core.arrays import Floats

Tails = Literal["two", "lower", "upper"]

MIN_ESS = 50.0  # Kish effective sample size that a verdict needs
MIN_DOF = 8.0  # degrees of freedom below which the t quantile itself is unreliable
POWER = 0.8  # probability of finding the declared minimum effect that "people needed" plans for


@dataclass(frozen=True)
class Interval:
    """Hold an estimate with its confidence interval. A bound is infinite on an open side, or if nothing is known.

    ``ess``: Kish effective sample size. ``users``: number of people, with noise if only noisy sums left the trust boundary.
    ``estimate`` is NaN when the denominators sum to 0.
    """

    estimate: float
    low: float
    high: float
    se: float
    dof: float
    ess: float
    users: float
    level: float = 0.95
    tails: Tails = "two"


@dataclass(frozen=True)
class Sufficiency:
    """Tell whether there is enough evidence for a verdict. If not, give the reason and about how many people it needs."""

    ok: bool
    reason: str
    users_needed: float


@dataclass(frozen=True)
class ClusterStatistics:
    """Hold estimate, CR2 standard error, Bell-McCaffrey dof and Kish size. Arrays have the input's leading axes."""

    estimate: Floats
    se: Floats
    dof: Floats
    ess: Floats


def clustered_interval(
    a: ArrayLike, b: ArrayLike, s: ArrayLike, *, level: float = 0.95, tails: Tails = "two"
) -> Interval:
    """Compute the Student interval of ``sum(a) / sum(b)``, clustered by user.

    Args:
        a, b: (users,) numerators and denominators, ``b >= 0``.
        s: (users,) sum of squared weights of each user: ``w^2`` for IPS, SNIPS and false intervention, ``1 + w^2`` for
            doubly robust, ``(w - w_ref)^2`` for a paired difference.
        level: the coverage.
        tails: ``"lower"`` puts all of ``1 - level`` below ``low`` and leaves ``high`` open. ``"upper"`` is the mirror image.
    Raises: ValueError when the arrays do not fit together.
    """
    numerators, denominators, squares = _checked(a, b, s)
    stats = cluster_statistics(numerators, denominators, squares)
    return _student(stats, users=float(numerators.size), level=level, tails=tails)


def ratio_interval(a: ArrayLike, b: ArrayLike, s: ArrayLike, *, level: float = 0.95, tails: Tails = "two") -> Interval:
    """Compute the modified Jeffreys interval of a share ``p = sum(a) / sum(b)`` in [0, 1], clustered by user.

    n_e = min(p (1 - p) / se^2 (z / t_dof)^2, (sum b)^2 / sum s), x = p n_e, quantiles of Beta(x + .5, n_e - x + .5).
    The bound on an open side is the end of [0, 1]. At an observed 0 or 1, the bound on that side is the end itself.

    Args:
        a, b: (users,) numerators and denominators, ``b >= 0``.
        s: (users,) sum of squared weights of each user.
        level: the coverage.
        tails: the sides that the interval bounds.
    Raises: ValueError when the arrays do not fit together.
    """
    numerators, denominators, squares = _checked(a, b, s)
    stats = cluster_statistics(numerators, denominators, squares)
    p, se, dof, ess = float(stats.estimate), float(stats.se), float(stats.dof), float(stats.ess)
    if math.isnan(p) or dof <= 0:
        low, high = 0.0, 1.0
    else:
        n = min(effective_n(p, se, dof, level=level, tails=tails), ess)
        low, high = jeffreys_bounds(p, n, level=level, tails=tails)
    return Interval(p, low, high, se, dof, ess, float(numerators.size), level, tails)


def cluster_statistics(a: Floats, b: Floats, s: Floats) -> ClusterStatistics:
    """Compute the statistics of both intervals over the last axis (users), vectorised over the axes before it.

    theta = sum A / sum B, e = A - theta B, h = B / sum B, se^2 = sum e^2 / (1 - h) / (sum B)^2 (CR2).
    If the denominators sum to 0, theta is NaN and dof is 0. With a single user, se is infinite and dof is 0.
    """
    total = b.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        theta = np.where(total > 0, a.sum(-1) / total, np.nan)
        h = b / total[..., None]
        e = a - theta[..., None] * b
        se = np.sqrt((e**2 / (1 - h)).sum(-1)) / total
        dof = bell_mccaffrey_dof(h, s + 0.1 * b**2)
        ess = total**2 / s.sum(-1)
    lone = ~(h.max(-1, initial=0.0) < 1 - 1e-9)
    return ClusterStatistics(
        estimate=theta,
        se=np.where(lone, np.inf, se),
        dof=np.where(lone | ~np.isfinite(dof), 0.0, dof),
        ess=np.where(total > 0, np.where(np.isnan(ess), 0.0, ess), 0.0),
    )


def bell_mccaffrey_dof(h: Floats, s: Floats) -> Floats:
    """Compute Satterthwaite degrees of freedom of the CR2 variance under working variances ``s`` (last axis: users).

    Let c = 1/(1-h), u = c h, kappa = sum c h^2, q = kappa - 2u and S = sum s. Then tr(Q)^2 / tr(Q^2) has a closed form, where Q
    is the quadratic form of the variance estimate scaled by ``s``:
    [sum s (c+q)]^2 / [sum s^2 (c^2 + 2cq) + kappa^2 S^2 + 2 S sum s u^2 + 2 (sum s u)^2 - 4 kappa S sum s u].
    """
    c = 1 / (1 - h)
    u = c * h
    kappa = (c * h**2).sum(-1)
    q = kappa[..., None] - 2 * u
    size, su = s.sum(-1), (s * u).sum(-1)
    trace = (s * (c + q)).sum(-1)
    trace_of_square = (
        (s**2 * (c**2 + 2 * c * q)).sum(-1)
        + kappa**2 * size**2
        + 2 * size * (s * u**2).sum(-1)
        + 2 * su**2
        - 4 * kappa * size * su
    )
    return np.asarray(trace**2 / trace_of_square)


def effective_n(p: float, se: float, dof: float, *, level: float = 0.95, tails: Tails = "two") -> float:
    """Return the binomial sample size whose uncertainty about a share ``p`` equals ``se`` with ``dof``: p(1-p)/se^2 (z/t)^2.

    It is infinite if the data show no variance. The caller caps it by the Kish size.
    """
    if se == 0 or not 0 < p < 1:
        return math.inf
    z, t = quantile(level, tails), quantile(level, tails, dof)
    return p * (1 - p) / se**2 * (z / t) ** 2


def jeffreys_bounds(p: float, n: float, *, level: float = 0.95, tails: Tails = "two") -> tuple[float, float]:
    """Return Jeffreys bounds of a share ``p`` observed on an effective ``n``.

    They are quantiles of Beta(pn + .5, (1-p)n + .5), and exactly 0 or 1 at an observed 0 or 1.
    """
    from scipy.special import betaincinv

    p = min(max(p, 0.0), 1.0)
    if not math.isfinite(n):
        return (p if tails != "upper" else 0.0), (p if tails != "lower" else 1.0)
    above, below = one_sided(level, tails), 1 - one_sided(level, tails)
    low = 0.0 if tails == "upper" or p == 0 else float(betaincinv(p * n + 0.5, (1 - p) * n + 0.5, below))
    high = 1.0 if tails == "lower" or p == 1 else float(betaincinv(p * n + 0.5, (1 - p) * n + 0.5, above))
    return low, high


def effective_n_for_bar(p: float, bar: float, *, level: float = 0.95) -> float:
    """Return the smallest whole effective n at which a share observed at ``p`` has its one-sided Jeffreys bound inside ``bar``.

    For p < bar this is the upper bound, for p > bar the lower one. At p == bar the result is infinite.
    """
    if p == bar or not 0 < bar < 1:
        return math.inf
    tails: Tails = "upper" if p < bar else "lower"

    def clears(n: int) -> bool:
        low, high = jeffreys_bounds(p, n, level=level, tails=tails)
        return high <= bar if p < bar else low >= bar

    top = 1
    while not clears(top):
        top *= 2
        if top > 2**40:
            return math.inf
    bottom = top // 2
    while top - bottom > 1:
        middle = (top + bottom) // 2
        bottom, top = (bottom, middle) if clears(middle) else (middle, top)
    return float(top)


def users_needed(interval: Interval, min_effect: float, *, level: float = 0.95, power: float = POWER) -> float:
    """Return about how many people a verdict needs: G max(1, 50/ESS, 8/dof, ((z_level + z_power) se / min_effect)^2).

    G is the present number of people. The result is rounded up, and infinite if the data do not show their own spread.

    Args:
        min_effect: the *declared* smallest effect worth finding, in units of the estimate. Never the estimate itself.
        level: one-sided level of the test (.95 gives the familiar 1.645 + .842).
        power: probability of finding ``min_effect``.
    Raises: ValueError when ``min_effect`` is not above 0.
    """
    if not min_effect > 0:
        raise ValueError(f"The minimum effect is {min_effect}; it must be above 0.")
    z = quantile(level, "lower") + quantile(power, "lower")
    growth = max(
        1.0,
        ratio_or_infinite(MIN_ESS, interval.ess),
        ratio_or_infinite(MIN_DOF, interval.dof),
        (z * interval.se / min_effect) ** 2,
    )
    needed = interval.users * growth
    return float(math.ceil(needed)) if math.isfinite(needed) else math.inf


def sufficient(interval: Interval, *, needed: float | None = None) -> Sufficiency:
    """Check for enough evidence for a verdict: a Kish effective size of at least 50 and at least 8 degrees of freedom.

    Args:
        needed: number of people to report, if the caller has a better one (noisy sums). Default: G max(1, 50/ESS, 8/dof).
    """
    growth = max(1.0, ratio_or_infinite(MIN_ESS, interval.ess), ratio_or_infinite(MIN_DOF, interval.dof))
    if growth == 1.0 and math.isfinite(interval.se):
        return Sufficiency(True, "the effective sample size and the degrees of freedom are sufficient", interval.users)
    users = interval.users * growth if needed is None else needed
    users = float(math.ceil(users)) if math.isfinite(users) else math.inf
    shortfalls = [
        f"the {name} {verb} {value:.3g} (at least {limit:g} needed)"
        for name, verb, value, limit in (
            ("effective sample size", "is", interval.ess, MIN_ESS),
            ("degrees of freedom", "are", interval.dof, MIN_DOF),
        )
        if not value >= limit
    ]
    return Sufficiency(False, " and ".join(shortfalls) or "the standard error cannot be estimated", users)


def quantile(level: float, tails: Tails, dof: float = math.inf) -> float:
    """Return the Student quantile of a bound (normal for infinite ``dof``)."""
    from scipy.special import ndtri, stdtrit

    p = one_sided(level, tails)
    return float(ndtri(p) if math.isinf(dof) else stdtrit(dof, p))


def one_sided(level: float, tails: Tails) -> float:
    """Return the probability on the inner side of each bound: (1 + level) / 2 for two tails, ``level`` for one."""
    if not 0.5 <= level < 1:
        raise ValueError(f"The level is {level}; it must be in [.5, 1).")
    return (1 + level) / 2 if tails == "two" else level


def _student(stats: ClusterStatistics, *, users: float, level: float, tails: Tails) -> Interval:
    theta, se, dof, ess = (float(v) for v in (stats.estimate, stats.se, stats.dof, stats.ess))
    reach = quantile(level, tails, dof) * se if dof > 0 else math.inf
    if math.isnan(theta):
        return Interval(theta, -math.inf, math.inf, math.inf, 0.0, ess, users, level, tails)
    low = -math.inf if tails == "upper" else theta - reach
    high = math.inf if tails == "lower" else theta + reach
    return Interval(theta, low, high, se, dof, ess, users, level, tails)


def _checked(*arrays: ArrayLike) -> tuple[Floats, ...]:
    """Check for one-dimensional finite arrays of one length, without negative numbers in the second and third."""
    out = tuple(np.asarray(array, dtype=np.float64) for array in arrays)
    if any(array.ndim != 1 or array.shape != out[0].shape for array in out):
        raise ValueError("a, b and s must be one-dimensional and of one length, with one entry a user.")
    if not all(np.isfinite(array).all() for array in out):
        raise ValueError("a, b and s must be finite.")
    if any((array < 0).any() for array in out[1:]):
        raise ValueError("b and s must not be negative.")
    return out


def ratio_or_infinite(limit: float, value: float) -> float:
    """Divide a limit by a value above 0; infinite where the value is not."""
    return limit / value if value > 0 else math.inf
