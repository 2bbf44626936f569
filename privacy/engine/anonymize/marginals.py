"""Noised marginals: how often each value occurs, and how often any two values of two columns occur together.

The workload is fixed and public: every column cut into cells, and every pair of columns cut into coarser ones. Each person
contributes two vectors of bounded norm, each an average over their own records:

- ``singles``: a 1 that counts the person, and the shares of each column's cells;
- ``pairs``: the shares of each pair of columns' cells.

Both are summed as integers over any shards, and noised once. Rows with these marginals can be drawn from the noised sums by
post-processing (``training.engine.sources.marginal_rows``).

Source: McKenna, Miklau and Sheldon (2021), Winning the NIST Contest, with a fixed workload instead of a selected one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from core.arrays import Floats, Ints
from core.errors import InputError
from privacy.engine.anonymize.central_dp import DIFFERENTIAL_PRIVACY, LABEL, shares_of_counts
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

MARGINALS = "marginals"
CELLS = 16  # of a number, alone
PAIR_CELLS = 8  # of a number beside another column; each joins two of the cells
_SHARES = {"singles": 0.3, "pairs": 0.7}  # of the rho; one column alone has no pairs and spends it all
_MOST_PAIR_VALUES = 200_000  # cells of all pairs together: more would drown in noise


@dataclass(frozen=True)
class MarginalTables:
    """Noised marginals as shares: none negative, and each table sums to 1.

    ``users`` is the noised number of people and ``users_sd`` the standard deviation of its noise. ``singles`` holds each column's
    table (C,), and ``pairs`` the table (C, C') of columns i < j.
    """

    users: float
    users_sd: float
    singles: tuple[Floats, ...]
    pairs: Mapping[tuple[int, int], Floats]


def cells_of(column: Column) -> int:
    """Return the number of cells of a column alone: its categories, or equal parts of its bounds."""
    return len(column.categories) or CELLS


def pair_cells_of(column: Column) -> int:
    """Return the number of cells of a column in a pair."""
    return len(column.categories) or PAIR_CELLS


def marginal_totals(values: Floats, users: Ints, columns: Sequence[Column]) -> Totals:
    """Sum one shard of complete records (n, F). ``users`` (n,) owns each row; a user's rows share one shard."""
    values = values_bounded(values, columns)
    complete = np.isfinite(values).all(axis=1)
    values, owners = values[complete], np.unique(users[complete], return_inverse=True)[1]
    people = int(owners.max()) + 1 if owners.size else 0
    weight = 1 / np.bincount(owners, minlength=people)[owners]
    alone = [_cell(values[:, j], c, cells_of(c)) for j, c in enumerate(columns)]
    beside = [_cell(values[:, j], c, pair_cells_of(c)) for j, c in enumerate(columns)]
    singles = [_share(owners, cell, people, cells_of(c), weight) for cell, c in zip(alone, columns, strict=True)]
    blocks = {"singles": np.hstack([np.ones((people, 1)), *singles])}
    pairs = [
        _share(owners, beside[i] * pair_cells_of(columns[j]) + beside[j], people, _size(columns, i, j), weight)
        for i, j in _pairs(columns)
    ]
    blocks |= {"pairs": np.hstack(pairs)} if pairs else {}
    return Totals({name: integer_sum(block, clip=_clip(name, columns)) for name, block in blocks.items()})


def marginal_release(totals: Totals, columns: Sequence[Column], sigma: float) -> dict[str, np.ndarray]:
    """Return the noised blocks with ``*_sd`` and ``*_rho``. Draws noise of multiplier ``sigma`` once for the whole release."""
    out: dict[str, np.ndarray] = {}
    for name, share in _shares(columns).items():
        block = noise_once(totals.blocks[name], clip=_clip(name, columns), sigma=sigma, share=share)
        out |= {name: block.values, f"{name}_sd": np.array([block.sd]), f"{name}_rho": np.array([block.rho])}
    return out | {"users": out["singles"][:1]}


def marginal_tables(noised: Arrays, columns: Sequence[Column]) -> MarginalTables:
    """Read the tables from the noised sums, by projection onto shares."""
    singles, first = [], 1
    for column in columns:
        singles.append(shares_of_counts(noised["singles"][first : first + cells_of(column)]))
        first += cells_of(column)
    pairs, first = {}, 0
    for i, j in _pairs(columns):
        table = shares_of_counts(noised["pairs"][first : first + _size(columns, i, j)])
        pairs[i, j] = table.reshape(pair_cells_of(columns[i]), pair_cells_of(columns[j]))
        first += _size(columns, i, j)
    return MarginalTables(float(noised["users"][0]), float(noised["singles_sd"][0]), tuple(singles), pairs)


def _pairs(columns: Sequence[Column]) -> list[tuple[int, int]]:
    return list(combinations(range(len(columns)), 2))


def _size(columns: Sequence[Column], i: int, j: int) -> int:
    return pair_cells_of(columns[i]) * pair_cells_of(columns[j])


def _shares(columns: Sequence[Column]) -> dict[str, float]:
    """Return the share of the rho that each block spends, from the number of columns alone."""
    return dict(_SHARES) if len(columns) > 1 else {"singles": 1.0}


def _clip(name: str, columns: Sequence[Column]) -> float:
    """Return the largest norm of a person's vector: every table of a person sums to 1, so its norm is at most 1."""
    return math.sqrt(1 + len(columns) if name == "singles" else len(_pairs(columns)))


def _cell(values: Floats, column: Column, cells: int) -> Ints:
    if column.categories:
        return values.astype(np.int64)
    place = (values - column.low) / (column.high - column.low) * cells
    return np.clip(place.astype(np.int64), 0, cells - 1)


def _share(owners: Ints, cell: Ints, people: int, size: int, weight: Floats) -> Floats:
    """Return each person's shares (people, size) of the cells."""
    counts = np.bincount(owners * size + cell, weights=weight, minlength=people * size)
    return np.asarray(counts.reshape(people, size), dtype=np.float64)


def _check(request: AnonymizeRequest, columns: Sequence[Column]) -> None:
    values = sum(_size(columns, i, j) for i, j in _pairs(columns))
    if values > _MOST_PAIR_VALUES:
        raise InputError(
            f"the pairs of these {len(columns)} fields have {values:,} cells, more than {_MOST_PAIR_VALUES:,}; name fewer fields",
            field="fields",
        )


def _cost(request: AnonymizeRequest, limits: Limits) -> Cost:
    calibration = calibrate(
        epsilon=request.epsilon, delta=request.delta, maximum=limits.epsilon, maximum_delta=limits.delta
    )
    return Cost(calibration.policy_nano, calibration.rho_nano, calibration.epsilon, calibration.delta)


def _guarantee(request: AnonymizeRequest) -> str:
    return guarantee(calibrate(epsilon=request.epsilon, delta=request.delta, maximum=request.epsilon))


def _logged(request: AnonymizeRequest, columns: Sequence[Column]) -> dict[str, Any]:
    shares = _shares(columns)
    return {"cells": CELLS, "pair_cells": PAIR_CELLS, "shares": shares, "clips": {n: _clip(n, columns) for n in shares}}


def _compute(charged: ChargedRequest, source: RecordSource) -> Output:
    totals = add_totals(marginal_totals(shard.values, shard.people, charged.columns) for shard in source.shards())
    epsilon, delta = charged.epsilon or 0.0, charged.delta or 0.0
    sigma = calibrate(epsilon=epsilon, delta=delta, maximum=epsilon).sigma
    return Output(marginal_release(totals, charged.columns, sigma), {})


def _table(charged: ChargedRequest, arrays: Arrays) -> Statistics:
    """Return the shares of each column's cells by name. The pairs are for drawing rows."""
    read = marginal_tables(arrays, charged.columns)
    columns = {
        column.name: {"histogram": dict(zip(_names(column), table.tolist(), strict=True))}
        for column, table in zip(charged.columns, read.singles, strict=True)
    }
    return {"users": read.users, "users_sd": read.users_sd, "columns": columns}


def _names(column: Column) -> list[str]:
    if column.categories:
        return list(column.categories)
    edges = np.linspace(column.low, column.high, CELLS + 1)
    return [f"{low:.6g}..{high:.6g}" for low, high in pairwise(edges)]


technique = Technique(
    name=DIFFERENTIAL_PRIVACY,
    mode=MARGINALS,
    label=LABEL,
    mechanism="marginals: discrete Gaussian on user-level shares",
    neighbouring="add or remove one user",
    library="opendp",
    statistics=True,
    rows_for_all=False,
    takes=("epsilon", "delta"),
    parameters=(),
    exclusive=(),
    check=_check,
    cost=_cost,
    guarantee=_guarantee,
    logged=_logged,
    settled=lambda request, today: {},
    least_cohort=lambda request: 1,
    compute=_compute,
    table=_table,
)
