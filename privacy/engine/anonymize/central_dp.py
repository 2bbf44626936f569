"""Central differential privacy: statistics of people (counts, means, histograms over public categories, quantiles).

Each person contributes three vectors of bounded norm, each an average over their own records:

- ``means``: numbers scaled from their public bounds to [-1, 1], with a flag for every number that is known;
- ``histograms``: shares of the categories;
- ``quantiles``: shares of each number's public bins.

The vectors are summed as integers over any shards, and noised once. Everything read from the noised sums is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.arrays import Floats, Ints
from core.errors import InputError
from privacy.engine.anonymize.columns import Column, values_bounded
from privacy.engine.anonymize.protocol import (
    Arrays,
    ChargedRequest,
    Cost,
    Limits,
    Output,
    RecordSource,
    Statistics,
    Technique,
)
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.engine.dp.accounting import calibrate, guarantee
from privacy.engine.dp.mechanisms import Totals, add_totals, integer_sum, noise_once

DIFFERENTIAL_PRIVACY, LABEL = "differential_privacy", "differential privacy"
BINS = 64  # of a number's bounds, for quantiles
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_PARTS = {"means": 0.5, "histograms": 0.2, "quantiles": 0.3}  # relative shares of the rho, over the blocks that exist
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class NoisySummary:
    """Statistics read from the noised sums.

    ``users`` is the noised number of people, and ``users_sd`` the standard deviation of its noise.
    ``columns`` maps a column's name to its statistics. A number has ``mean`` and ``quantiles``, each as value, low and high:
    the interval covers 95% of the noise, and no sampling error. A category has ``histogram``, its shares.
    """

    users: float
    users_sd: float
    columns: dict[str, dict[str, Any]]


def central_totals(values: Floats, users: Ints, columns: Sequence[Column]) -> Totals:
    """Sum one shard of records (n, F), NaN where unknown. ``users`` (n,) owns each row; a user's rows share one shard.

    Values are taken within the public bounds, and a shard without records adds zeros. Raises InputError for arrays that do not
    fit the columns.
    """
    _check(values, users, columns)
    values = values_bounded(values, columns)
    _, owner = np.unique(users, return_inverse=True)
    contributions = _contributions(values, owner, columns)
    return Totals({name: integer_sum(block, clip=_clip(name, columns)) for name, block in contributions.items()})


def central_release(totals: Totals, columns: Sequence[Column], sigma: float) -> dict[str, np.ndarray]:
    """Return the noised blocks with ``*_sd`` and ``*_rho``. Draws noise of multiplier ``sigma`` once for the whole release."""
    out: dict[str, np.ndarray] = {}
    for name, share in shares(columns).items():
        block = noise_once(totals.blocks[name], clip=_clip(name, columns), sigma=sigma, share=share)
        out |= {name: block.values, f"{name}_sd": np.array([block.sd]), f"{name}_rho": np.array([block.rho])}
    return out | {"users": out["means"][:1]}


def central_read(noised: Mapping[str, np.ndarray], columns: Sequence[Column]) -> NoisySummary:
    """Compute every column's statistics from the noised sums."""
    means, sd = noised["means"], float(noised["means_sd"][0])
    numbers, categories = _split(columns)
    summaries: dict[str, dict[str, Any]] = {}
    first = 0
    for column in categories:
        size = len(column.categories)
        category_shares = shares_of_counts(noised["histograms"][first : first + size])
        summaries[column.name] = {"histogram": dict(zip(column.categories, category_shares.tolist(), strict=True))}
        first += size
    for i, column in enumerate(numbers):
        known, total = means[1 + i], means[1 + len(numbers) + i]
        bins = noised["quantiles"][i * BINS : (i + 1) * BINS]
        spread = float(noised["quantiles_sd"][0])
        summaries[column.name] = {
            "mean": _mean(column, total, known, sd),
            "quantiles": _quantiles(column, bins, spread),
        }
    return NoisySummary(float(means[0]), sd, {c.name: summaries[c.name] for c in columns})


def shares(columns: Sequence[Column]) -> dict[str, float]:
    """Return the share of the release's rho that each block spends. The rule is public: it depends on the column kinds alone."""
    numbers, categories = _split(columns)
    present = {n: p for n, p in _PARTS.items() if n == "means" or (categories if n == "histograms" else numbers)}
    return {name: part / sum(present.values()) for name, part in present.items()}


def central_parameters(columns: Sequence[Column]) -> dict[str, Any]:
    """Return the public parameters, for the log."""
    return {"bins": BINS, "shares": shares(columns), "clips": {n: _clip(n, columns) for n in shares(columns)}}


def _split(columns: Sequence[Column]) -> tuple[list[Column], list[Column]]:
    return [c for c in columns if not c.categories], [c for c in columns if c.categories]


def _clip(name: str, columns: Sequence[Column]) -> float:
    """Return the largest norm of a person's vector. Flags and scaled numbers are at most 1; shares sum to 1 per column."""
    numbers, categories = _split(columns)
    return math.sqrt({"means": 1 + 2 * len(numbers), "histograms": len(categories), "quantiles": len(numbers)}[name])


def _contributions(values: Floats, owner: Ints, columns: Sequence[Column]) -> dict[str, Floats]:
    """Return each person's contribution: block name -> (people, k)."""
    people = int(owner.max()) + 1 if owner.size else 0
    flags, scaled = [], []
    histograms, bins = [], []
    for j, column in enumerate(columns):
        known = np.isfinite(values[:, j])
        owners, value = owner[known], values[known, j]
        count = np.bincount(owners, minlength=people)
        share = 1 / np.maximum(count, 1)
        if column.categories:
            histograms.append(_histogram(owners, value.astype(np.int64), people, len(column.categories), share))
            continue
        place = (value - column.low) / (column.high - column.low)
        scaled.append(np.bincount(owners, weights=place * 2 - 1, minlength=people) * share)
        flags.append((count > 0).astype(np.float64))
        bins.append(_histogram(owners, np.minimum((place * BINS).astype(np.int64), BINS - 1), people, BINS, share))
    out = {"means": np.column_stack([np.ones(people), *flags, *scaled])}
    out |= {"histograms": np.hstack(histograms)} if histograms else {}
    return out | ({"quantiles": np.hstack(bins)} if bins else {})


def _histogram(owners: Ints, index: Ints, people: int, size: int, share: Floats) -> Floats:
    counts: Floats = np.bincount(owners * size + index, minlength=people * size).reshape(people, size) * share[:, None]
    return counts


def _mean(column: Column, total: float, known: float, sd: float) -> dict[str, float]:
    """Return the ratio of two noised sums with the first-order interval of its noise, clamped to the public bounds."""
    count = max(known, 1.0)
    ratio = min(1.0, max(-1.0, total / count))
    error = _Z95 * sd * math.sqrt(1 + ratio * ratio) / count
    half = (column.high - column.low) / 2
    value, low, high = (column.low + half * (min(1.0, max(-1.0, x)) + 1) for x in (ratio, ratio - error, ratio + error))
    return {"value": value, "low": low, "high": high}


def shares_of_counts(noised: Floats) -> Floats:
    """Project noised counts onto the nearest shares: none negative, sum 1. Source: simplex projection, Duchi et al. 2008."""
    scaled = noised / max(float(noised.sum()), 1.0)
    ordered = np.sort(scaled)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(ordered) + 1)
    nearest: Floats = np.maximum(scaled - excess[np.flatnonzero(ordered > excess)[-1]], 0.0)
    return nearest


def _quantiles(column: Column, noised: Floats, sd: float) -> dict[str, dict[str, float]]:
    """Return the points where the bins' cumulative shares pass each quantile, by linear interpolation."""
    reached = np.concatenate([[0.0], np.cumsum(shares_of_counts(noised))])
    edges = np.linspace(column.low, column.high, BINS + 1)
    intervals = {}
    for q in QUANTILES:
        low, high = _plausible(noised, q, sd)
        intervals[f"{q:g}"] = {
            "value": float(np.interp(q, reached, edges)),
            "low": float(edges[low]),
            "high": float(edges[high]),
        }
    return intervals


def _plausible(noised: Floats, q: float, sd: float) -> tuple[int, int]:
    """Return the two edges (of BINS + 1) between which quantile ``q`` lies with probability 95% or more over the noise alone.

    At edge k, sum_{i<=k} c_i - q sum_i c_i has noise of sd root(k (1-q)^2 + (BINS-k) q^2). The quantile may be passed at every
    edge whose sum is within 1.96 such deviations of 0, and in the bin beside the outermost of them.
    """
    k = np.arange(BINS + 1)
    above = np.concatenate([[0.0], np.cumsum(noised)]) - q * noised.sum()
    error = _Z95 * sd * np.sqrt(k * (1 - q) ** 2 + (BINS - k) * q**2)
    first, last = np.flatnonzero(above + error >= 0)[0], np.flatnonzero(above - error <= 0)[-1]
    return max(int(min(first, last)) - 1, 0), min(int(max(first, last)) + 1, BINS)


def _check(values: Floats, users: Ints, columns: Sequence[Column]) -> None:
    if not columns or values.ndim != 2 or values.shape[1] != len(columns) or len(users) != len(values):
        raise InputError(
            f"the records have shape {values.shape}, but there are {len(columns)} columns and {len(users)} users; "
            "pass one column per field and one user per record"
        )
    for column in columns:
        if not column.low < column.high:
            raise InputError(f"the bounds of {column.name} are [{column.low}, {column.high}]; low must be below high")


def _cost(request: AnonymizeRequest, limits: Limits) -> Cost:
    calibration = calibrate(
        epsilon=request.epsilon, delta=request.delta, maximum=limits.epsilon, maximum_delta=limits.delta
    )
    return Cost(calibration.policy_nano, calibration.rho_nano, calibration.epsilon, calibration.delta)


def _guarantee(request: AnonymizeRequest) -> str:
    return guarantee(calibrate(epsilon=request.epsilon, delta=request.delta, maximum=request.epsilon))


def _compute(charged: ChargedRequest, source: RecordSource) -> Output:
    totals = add_totals(central_totals(shard.values, shard.people, charged.columns) for shard in source.shards())
    epsilon, delta = charged.epsilon or 0.0, charged.delta or 0.0
    sigma = calibrate(epsilon=epsilon, delta=delta, maximum=epsilon).sigma
    return Output(central_release(totals, charged.columns, sigma), {})


def _table(charged: ChargedRequest, arrays: Arrays) -> Statistics:
    return asdict(central_read(arrays, charged.columns))


technique = Technique(
    name=DIFFERENTIAL_PRIVACY,
    mode="central",
    label=LABEL,
    mechanism="statistics: discrete Gaussian on user-level sums",
    neighbouring="add or remove one user",
    library="opendp",
    statistics=True,
    rows_for_all=False,
    takes=("epsilon", "delta"),
    parameters=(),
    exclusive=(),
    check=lambda request, columns: None,
    cost=_cost,
    guarantee=_guarantee,
    logged=lambda request, columns: central_parameters(columns),
    settled=lambda request, today: {},
    least_cohort=lambda request: 1,
    compute=_compute,
    table=_table,
)
