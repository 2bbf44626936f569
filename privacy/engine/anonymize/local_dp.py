"""Local differential privacy: noised rows, drawn from exact tables of 63-bit integers with the operating system's randomness.

A number is put on a public grid over its bounds, gets two-sided geometric noise, and is clamped to the bounds again. A category
is replaced by randomised response. Probabilities are whole multiples of 2^-63, so nothing is drawn in floating point. The
probability ratio that privacy bounds is computed from these same integers. At epsilon 1 or less the noise is wider than the
range.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from core.arrays import Floats, Ints
from core.errors import InputError
from privacy.engine.anonymize.central_dp import DIFFERENTIAL_PRIVACY, LABEL
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.protocol import (
    Arrays,
    ChargedRequest,
    Cost,
    Limits,
    Output,
    RecordSource,
    ReleasedRows,
    Technique,
)
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.engine.anonymize.tables import as_text, unordered
from privacy.engine.dp.accounting import charge_pure, epsilon_text, rho_of_pure
from privacy.engine.dp.coarse_counts import two_digits
from privacy.engine.dp.threshold_tables import (
    LEAST_EPSILON,
    THRESHOLD_STEPS,
    THRESHOLD_WHOLE,
    category_ratio,
    category_table,
    float_above,
    log_above,
    noise_sd,
    noise_table,
    number_ratio,
)

Words = npt.NDArray[np.uint64]
_CHUNK = 1 << 18


@dataclass(frozen=True)
class LocalRows:
    """Noised rows. ``values`` (n, F) lie within the public bounds.

    ``epsilon`` is a row's privacy loss by the exact tables, never above the requested one.
    ``sd`` (F,) is the standard deviation of a number's noise before clamping (NaN for categories).
    ``flip`` (F,) is the probability that a category is replaced (NaN for numbers).
    """

    values: Floats
    epsilon: float
    sd: Floats
    flip: Floats


def local_rows(values: Floats, *, columns: Sequence[Column], epsilon: float) -> LocalRows:
    """Noise rows (n, F) within public bounds. Each row spends ``epsilon``, split evenly over the columns, at most 30 per column.

    Raises InputError for unknown or out-of-bounds values, for values that are no index of a category, for bounds whose low is
    not below their high, and for an epsilon that is not finite or is less than 1e-7 per column.
    """
    _check(values, columns, epsilon)
    share = math.nextafter(epsilon / len(columns), 0.0)  # so that all shares together are no more than the whole
    out, spent = np.empty(values.shape), Fraction(0)
    sd, flip = np.full(len(columns), np.nan), np.full(len(columns), np.nan)
    for j, column in enumerate(columns):
        if column.categories:
            table = category_table(share, len(column.categories))
            out[:, j] = _replaced(values[:, j], table, len(column.categories))
            flip[j] = 1 - table[0] / THRESHOLD_WHOLE
            spent += log_above(category_ratio(table))
        else:
            noise = noise_table(share)
            out[:, j] = _noised(values[:, j], noise, column)
            sd[j] = (column.high - column.low) / THRESHOLD_STEPS * noise_sd(share)
            spent += log_above(number_ratio(noise))
    return LocalRows(out, float_above(spent), sd, flip)


def exactly(rows: int, *, values: Floats, people: Ints, everyone: Ints, columns: Sequence[Column]) -> Floats:
    """Return exactly ``rows`` rows of each person, (len(everyone) * rows, F), so that row counts reveal nothing.

    ``values`` (n, F) belong to ``people`` (n,); a person's rows are contiguous, in the ascending order of ``everyone``.
    A person with fewer rows has them repeated in turn. A person without any gets the middle of the public bounds.
    """
    first, last = np.searchsorted(people, everyone, "left"), np.searchsorted(people, everyone, "right")
    middle = np.array([(len(c.categories) - 1) // 2 if c.categories else c.low + (c.high - c.low) / 2 for c in columns])
    place = first[:, None] + np.arange(rows) % np.maximum(last - first, 1)[:, None]
    place[last == first] = len(values)
    return np.asarray(np.vstack([values, middle])[place.reshape(-1)])


def draw(table: Sequence[int], count: int) -> Ints:
    """Draw indices (count,) with the probabilities of the table, by inverse transform sampling."""
    bounds = np.cumsum(np.array(table, dtype=object)).astype(np.uint64)
    out = np.empty(count, dtype=np.int64)
    for first in range(0, count, _CHUNK):
        some = min(_CHUNK, count - first)
        out[first : first + some] = np.searchsorted(bounds, _words(some), side="right")
    return out


def _words(count: int) -> Words:
    """Draw uniform 63-bit integers (count,)."""
    return np.frombuffer(secrets.token_bytes(8 * count), dtype="<u8") >> np.uint64(1)


def _noised(values: Floats, table: Sequence[int], column: Column) -> Floats:
    """Round numbers to their grid, add noise, clamp them to the grid, and return them in the column's units."""
    width = column.high - column.low
    grid = np.rint((values - column.low) / width * THRESHOLD_STEPS).astype(np.int64)
    noised = np.clip(grid + draw(table, len(values)) - THRESHOLD_STEPS, 0, THRESHOLD_STEPS)
    return np.asarray(np.clip(column.low + width * (noised / THRESHOLD_STEPS), column.low, column.high))


def _replaced(values: Floats, table: tuple[int, int], count: int) -> Floats:
    stays, other = table
    if not other:
        return values.copy()
    picked = draw((stays, *([other] * (count - 1))), len(values))
    return np.mod(values + picked, count)  # 0 keeps the category; each other one is equally probable


def _check(values: Floats, columns: Sequence[Column], epsilon: float) -> None:
    if not columns or values.ndim != 2 or values.shape[1] != len(columns):
        raise InputError(
            f"rows have shape {values.shape}, but there are {len(columns)} columns; pass one value per column"
        )
    least = LEAST_EPSILON * len(columns)
    if not math.isfinite(epsilon) or epsilon < least:
        raise InputError(
            f"epsilon is {epsilon}; a row of {len(columns)} columns needs a finite epsilon of at least {least:g}"
        )
    for column, given in zip(columns, values.T, strict=True):
        _check_column(column, given)


def _check_column(column: Column, values: Floats) -> None:
    low, high = (0.0, len(column.categories) - 1.0) if column.categories else (column.low, column.high)
    if not column.categories and not (low < high and math.isfinite(high - low)):
        raise InputError(
            f"the bounds of {column.name} are [{low}, {high}]; low must be below high, and their distance finite"
        )
    if not ((values >= low) & (values <= high)).all():
        raise InputError(
            f"a value of {column.name} is unknown or lies outside the column's public bounds; clamp such rows or leave them out"
        )
    if column.categories and not (values == np.rint(values)).all():
        raise InputError(f"a value of {column.name} is no index of a category; use whole numbers from 0")


def _cost(request: AnonymizeRequest, limits: Limits) -> Cost:
    pure = charge_pure(epsilon=request.epsilon, maximum=limits.epsilon)
    return Cost(pure.policy_nano, pure.rho_nano, pure.epsilon, 0.0)


def _guarantee(request: AnonymizeRequest) -> str:
    each = "one row each" if request.rows == 1 else f"exactly {request.rows} rows each, together"
    return (
        f"({epsilon_text(request.epsilon)}, 0)-local differential privacy for what each user says ({each}; "
        "neighbours differ in all that one says, also in how much). That somebody is among the rows is not hidden"
    )


def _compute(charged: ChargedRequest, source: RecordSource) -> Output:
    rows, columns = int(charged.parameters["rows"]), charged.columns
    records = source.records(rows)
    values = exactly(rows, values=records.values, people=records.people, everyone=source.people(), columns=columns)
    noised = local_rows(values, columns=columns, epsilon=(charged.epsilon or 0.0) / rows)
    width = np.array([c.high - c.low for c in columns])
    lost = np.where(np.isnan(noised.sd), noised.flip, np.minimum(1.0, noised.sd / width))
    rho = np.array([rho_of_pure(noised.epsilon * rows)])
    log = {
        "rows_in": two_digits(len(values)),
        "rows_out": two_digits(len(values)),
        "information_loss": float(lost.mean()),
    }
    return Output({"values": noised.values[unordered(noised.values)], "rows_rho": rho}, log)


def _table(charged: ChargedRequest, arrays: Arrays) -> ReleasedRows:
    columns = charged.columns
    return ReleasedRows([c.name for c in columns], (as_text(row, columns) for row in arrays["values"].tolist()))


technique = Technique(
    name=DIFFERENTIAL_PRIVACY,
    mode="local",
    label=LABEL,
    mechanism="rows: discrete Laplace and randomised response",
    neighbouring="replace one user's values",
    library="",
    statistics=False,
    rows_for_all=True,
    takes=("epsilon",),
    parameters=(),
    exclusive=(),
    check=lambda request, columns: None,
    cost=_cost,
    guarantee=_guarantee,
    logged=lambda request, columns: {},
    settled=lambda request, today: {},
    least_cohort=lambda request: 1,
    compute=_compute,
    table=_table,
)
