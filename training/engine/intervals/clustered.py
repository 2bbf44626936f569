"""Intervals for a ratio of sums over people, the unit of evidence being the person.

Every off-policy estimate that the gate reads has the same form: for each user g a numerator ``A_g`` (a weighted sum of
outcomes) and a denominator ``B_g`` (decisions, or weights), and ``theta = sum A / sum B``. One user's decisions depend
on each other, users do not; so the standard error is clustered by user, with the two small-sample corrections that keep
coverage at 40 people: CR2 residuals and Bell-McCaffrey degrees of freedom. An interval always speaks about the estimand
its ``A`` was built for ("immediate": the one-step value on logged states, or "long run"), which the caller must name.

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

MIN_ESS = 50.0  # Kish effective sample size under which no verdict is given
MIN_DOF = 8.0  # degrees of freedom under which the t quantile itself is not to be trusted
POWER = 0.8  # the chance to find the declared minimum effect that "people needed" plans for


@dataclass(frozen=True)
class Interval:
    """An estimate and what is known about its error. Bounds are infinite on an open side, or where nothing is known.

    ``ess`` is the Kish effective sample size, ``users`` the people behind the number (noisy where only noisy sums left
    the vault). ``estimate`` is NaN when the denominators sum to nothing.
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
    """Whether there is enough evidence to decide at all; if not, why, and about how many people it would take."""

    ok: bool
    reason: str
    users_needed: float


@dataclass(frozen=True)
class ClusterStatistics:
    """Estimate, CR2 standard error, Bell-McCaffrey dof and Kish size; arrays over the leading axes of the input."""

    estimate: Floats
    se: Floats
    dof: Floats
    ess: Floats


def clustered_interval(
    a: ArrayLike, b: ArrayLike, s: ArrayLike, *, level: float = 0.95, tails: Tails = "two"
) -> Interval:
    """Student interval of ``sum(a) / sum(b)`` clustered by user.

    a, b, s: shape (users,). ``b >= 0``. ``s`` is the per-user sum of squared weights: ``w^2`` for IPS, SNIPS and false
    intervention, ``1 + w^2`` for doubly robust, ``(w - w_ref)^2`` for a paired difference.
    ``level`` is the coverage; ``tails="lower"`` puts the whole of ``1 - level`` under ``low`` and leaves ``high`` open.
    Raises ValueError when the arrays do not fit together.
    """
    tops, bottoms, squares = _checked(a, b, s)
    stats = cluster_statistics(tops, bottoms, squares)
    return _student(stats, users=float(tops.size), level=level, tails=tails)


def ratio_interval(a: ArrayLike, b: ArrayLike, s: ArrayLike, *, level: float = 0.95, tails: Tails = "two") -> Interval:
    """Modified Jeffreys interval of a share ``p = sum(a) / sum(b)`` in [0, 1], clustered by user.

    n_e = min(p (1 - p) / se^2 (z / t_dof)^2, (sum b)^2 / sum s), x = p n_e, quantiles of Beta(x + .5, n_e - x + .5).
    An open side is the end of [0, 1]; at an observed 0 or 1 the bound on that side is the end itself.
    Arguments as in ``clustered_interval``.
    """
    tops, bottoms, squares = _checked(a, b, s)
    stats = cluster_statistics(tops, bottoms, squares)
    p, se, dof, ess = float(stats.estimate), float(stats.se), float(stats.dof), float(stats.ess)
    if math.isnan(p) or dof <= 0:
        low, high = 0.0, 1.0
    else:
        n = min(effective_n(p, se, dof, level=level, tails=tails), ess)
        low, high = jeffreys_bounds(p, n, level=level, tails=tails)
    return Interval(p, low, high, se, dof, ess, float(tops.size), level, tails)


def cluster_statistics(a: Floats, b: Floats, s: Floats) -> ClusterStatistics:
    """The four numbers behind both intervals, over the last axis (users), vectorised over the axes before it.

    theta = sum A / sum B, e = A - theta B, h = B / sum B, se^2 = sum e^2 / (1 - h) / (sum B)^2 (CR2).
    Undefined cases are returned as no knowledge: no denominator gives NaN and dof 0, a lone user se = inf and dof 0.
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
    """Satterthwaite degrees of freedom of the CR2 variance under working variances ``s`` (last axis: users).

    With c = 1/(1-h), u = c h, kappa = sum c h^2, q = kappa - 2u, S = sum s this is tr(Q)^2 / tr(Q^2) in closed form, Q
    the quadratic form of the variance estimate scaled by ``s``:
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
    """Binomial sample size that is as uncertain about a share ``p`` as ``se`` with ``dof``: p(1-p)/se^2 (z/t)^2.

    Infinite where the data show no variance; the caller caps it by the Kish size.
    """
    if se == 0 or not 0 < p < 1:
        return math.inf
    z, t = quantile(level, tails), quantile(level, tails, dof)
    return p * (1 - p) / se**2 * (z / t) ** 2


def jeffreys_bounds(p: float, n: float, *, level: float = 0.95, tails: Tails = "two") -> tuple[float, float]:
    """Bounds of a share ``p`` seen on an effective ``n``: quantiles of Beta(pn + .5, (1-p)n + .5), shut at 0 and 1."""
    from scipy.special import betaincinv

    p = min(max(p, 0.0), 1.0)
    if not math.isfinite(n):
        return (p if tails != "upper" else 0.0), (p if tails != "lower" else 1.0)
    above, below = one_sided(level, tails), 1 - one_sided(level, tails)
    low = 0.0 if tails == "upper" or p == 0 else float(betaincinv(p * n + 0.5, (1 - p) * n + 0.5, below))
    high = 1.0 if tails == "lower" or p == 1 else float(betaincinv(p * n + 0.5, (1 - p) * n + 0.5, above))
    return low, high


def effective_n_for_bar(p: float, bar: float, *, level: float = 0.95) -> float:
    """Smallest whole effective n at which a share observed at ``p`` has its one-sided Jeffreys bound inside ``bar``.

    The bound is the upper one for p < bar (at most ``bar``), the lower one for p > bar; infinite at p == bar.
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
    """About how many people it would take: G max(1, 50/ESS, 8/dof, ((z_level + z_power) se / min_effect)^2).

    ``min_effect`` is the *declared* smallest effect worth finding, in the units of the estimate, never the estimate
    itself. ``level`` is the one-sided level of the test (.95 gives the familiar 1.645 + .842). Infinite when the data
    say nothing about their own spread. Rounded up.
    """
    if not min_effect > 0:
        raise ValueError("The minimum effect must be above 0.")
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
    """Is there enough to decide at all: Kish effective size at least 50 and at least 8 degrees of freedom.

    ``needed`` replaces the people needed where the caller knows better (noisy sums); else G max(1, 50/ESS, 8/dof).
    """
    growth = max(1.0, ratio_or_infinite(MIN_ESS, interval.ess), ratio_or_infinite(MIN_DOF, interval.dof))
    if growth == 1.0 and math.isfinite(interval.se):
        return Sufficiency(True, "the effective sample size and the degrees of freedom suffice", interval.users)
    users = interval.users * growth if needed is None else needed
    users = float(math.ceil(users)) if math.isfinite(users) else math.inf
    short = [
        f"{name} {value:.3g} (at least {limit:g} needed)"
        for name, value, limit in (
            ("effective sample size", interval.ess, MIN_ESS),
            ("degrees of freedom", interval.dof, MIN_DOF),
        )
        if not value >= limit
    ]
    return Sufficiency(False, " and ".join(short) or "the error could not be estimated", users)


def quantile(level: float, tails: Tails, dof: float = math.inf) -> float:
    """Student quantile of the bound (normal for infinite ``dof``)."""
    from scipy.special import ndtri, stdtrit

    p = one_sided(level, tails)
    return float(ndtri(p) if math.isinf(dof) else stdtrit(dof, p))


def one_sided(level: float, tails: Tails) -> float:
    """The probability on the inner side of each bound: (1 + level) / 2 for two tails, ``level`` for one."""
    if not 0.5 <= level < 1:
        raise ValueError(f"The level must be in [.5, 1), it is {level}.")
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
    """One-dimensional finite float arrays of one length, the second and third of them nowhere negative."""
    out = tuple(np.asarray(array, dtype=np.float64) for array in arrays)
    if any(array.ndim != 1 or array.shape != out[0].shape for array in out):
        raise ValueError("a, b and s must be one-dimensional and of one length, one entry a user.")
    if not all(np.isfinite(array).all() for array in out):
        raise ValueError("a, b and s must be finite.")
    if any((array < 0).any() for array in out[1:]):
        raise ValueError("b and s must not be negative.")
    return out


def ratio_or_infinite(limit: float, value: float) -> float:
    """Divide a limit by a value above 0; infinite where the value is not."""
    return limit / value if value > 0 else math.inf
