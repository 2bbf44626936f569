"""Compare columns and pairs of columns of synthetic rows with rows that nobody trained on.

Each distance is put beside what fresh real rows of the same number reach (1), and what columns shuffled independently reach
(0), so that neither sampling noise nor right columns alone earn anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from core.arrays import Floats, Ints
from training.engine.scores.encoding import Bins
from training.engine.scores.sampling import MOST_HOLDOUT, MOST_SCORED_ROWS, sampled, shuffled
from training.engine.tables.schema import CategoryColumn
from training.engine.tables.table import Table

MOST_PAIRS = 300
_SHUFFLES = 3
_LEAST_DEPENDENCE = 0.02  # mean distance of a shuffle above fresh rows; below, there is hardly anything to learn
_PER_CELL = 20  # rows a bin of one column, times bins


@dataclass(frozen=True)
class Resemblance:
    """Hold what columns and pairs reach, 0 to 1, and the distances behind them.

    ``columns``: distance beyond fresh rows by column. ``pairs``: total variation beyond fresh rows by pair of columns.
    ``dependence``: how far a shuffle lies beyond fresh rows, the mean over pairs.
    """

    shape: float
    pair: float
    columns: dict[str, float]
    pairs: dict[tuple[str, str], float]
    dependence: float
    rows: int

    @property
    def similarity(self) -> float:
        """Return the product of both, the part S of quality."""
        return self.shape * self.pair


def resemblance(train: Table, holdout: Table, synthetic: Table, rng: np.random.Generator) -> Resemblance:
    """Measure columns by Kolmogorov-Smirnov or total variation, and pairs by total variation of coarse cells."""
    rows = min(train.rows, synthetic.rows, MOST_SCORED_ROWS)
    real, fake = sampled(train, rows, rng), sampled(synthetic, rows, rng)
    tested = sampled(holdout, MOST_HOLDOUT, rng)
    columns = {name: _excess(name, real, fake, tested) for name in train.columns}
    shape = float(np.mean([1.0 - d for d in columns.values()])) if columns else 1.0
    bins = Bins.of(train, int(np.clip(np.sqrt(min(rows, tested.rows) / _PER_CELL), 2, 10)))
    pairs = _pairs(list(train.columns), rng)
    goal = bins.codes(tested)
    fresh, made = bins.codes(real), bins.codes(fake)
    mixed = [bins.codes(_with(real, shuffled(real, rng))) for _ in range(_SHUFFLES)]
    floor = {pair: _pair_distance(bins, pair, fresh, goal) for pair in pairs}
    beyond = {pair: _pair_distance(bins, pair, made, goal) - floor[pair] for pair in pairs}
    lost = [np.mean([_pair_distance(bins, p, m, goal) for m in mixed]) - floor[p] for p in pairs]
    dependence = float(np.mean(lost)) if lost else 0.0
    missed = float(np.mean(list(beyond.values()))) if beyond else 0.0
    pair = float(np.clip(1.0 - missed / max(dependence, _LEAST_DEPENDENCE), 0.0, 1.0))
    return Resemblance(shape, pair, columns, beyond, dependence, rows)


def _with(table: Table, columns: dict[str, np.ndarray]) -> Table:
    return Table(table.schema, columns, None)


def _pairs(names: list[str], rng: np.random.Generator) -> list[tuple[str, str]]:
    """Return all pairs of columns, or a sample of them in a wide table."""
    pairs = list(combinations(names, 2))
    if len(pairs) <= MOST_PAIRS:
        return pairs
    return [pairs[i] for i in np.sort(rng.choice(len(pairs), MOST_PAIRS, replace=False))]


def _excess(name: str, real: Table, fake: Table, tested: Table) -> float:
    """Return how much further than fresh rows synthetic ones lie, as a share of the most that they could."""
    fresh = _column_distance(name, real, tested)
    return float(np.clip((_column_distance(name, fake, tested) - fresh) / max(1.0 - fresh, 1e-9), 0.0, 1.0))


def _column_distance(name: str, first: Table, second: Table) -> float:
    """Return the Kolmogorov-Smirnov distance of a number, a missing value being the least, or the total variation."""
    column = next(c for c in first.schema.columns if c.name == name)
    a, b = first.columns[name], second.columns[name]
    if not len(a) or not len(b):
        return 1.0
    if isinstance(column, CategoryColumn):
        size = len(column.categories) + 1
        shares = [np.bincount(x + 1, minlength=size) / len(x) for x in (a, b)]
        return float(np.abs(shares[0] - shares[1]).sum() / 2)
    a, b = (np.sort(np.where(np.isfinite(x), x, -np.inf)) for x in (a, b))
    points = np.r_[a, b]
    below = [np.searchsorted(x, points, "right") / len(x) for x in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _pair_distance(bins: Bins, pair: tuple[str, str], first: dict[str, Ints], second: dict[str, Ints]) -> float:
    shares = [_cells(bins, pair, codes) for codes in (first, second)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _cells(bins: Bins, pair: tuple[str, str], codes: dict[str, Ints]) -> Floats:
    a, b = pair
    width = bins.size(b)
    cells = np.bincount(codes[a] * width + codes[b], minlength=bins.size(a) * width)
    return np.asarray(cells / max(len(codes[a]), 1))
