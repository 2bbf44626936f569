"""Measure how much of the real variety synthetic rows reach: covered rows, distinct rows, and values that went missing.

Source: coverage by Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.engine.scores.encoding import DistanceSpace
from training.engine.scores.measures import Measure, share
from training.engine.scores.neighbours import nearest, nearest_within
from training.engine.scores.sampling import MOST_HOLDOUT, MOST_SCORED_ROWS, sampled
from training.engine.tables.schema import CategoryColumn, NumberColumn
from training.engine.tables.table import Table

NEIGHBOURS = 5
TAIL = 0.02  # of the training rows, at each end of a number
_LOST = 0.5  # of the share that a value should have
_CHANCE = 1e-4  # probability that sampling alone lost a value


@dataclass(frozen=True)
class LostValue:
    """A value that synthetic rows hardly have: a category or an end of a number, with both shares."""

    column: str
    value: str
    real: float
    synthetic: float


@dataclass(frozen=True)
class Diversity:
    """Hold the three parts, each 0 to 1, and the values that went missing."""

    coverage: Measure
    distinct: Measure
    support: Measure
    lost: tuple[LostValue, ...]

    @property
    def value(self) -> float:
        """Return the product of the parts."""
        return self.coverage.value * self.distinct.value * self.support.value


def diversity(train: Table, holdout: Table, synthetic: Table, rng: np.random.Generator) -> Diversity:
    """Measure coverage of the holdout, distinct rows, and the support of every column."""
    space = DistanceSpace.of(train)
    lost, support = _support(train, synthetic)
    return Diversity(_coverage(space, train, holdout, synthetic, rng), _distinct(train, synthetic, rng), support, lost)


def _coverage(
    space: DistanceSpace, train: Table, holdout: Table, synthetic: Table, rng: np.random.Generator
) -> Measure:
    """Return how many holdout rows have a synthetic row in their neighbourhood, beside as many training rows."""
    tested = space.place(sampled(holdout, MOST_HOLDOUT, rng))
    rows = min(len(tested), train.rows, synthetic.rows)
    radius = nearest_within(tested, min(NEIGHBOURS, max(len(tested) - 1, 1)))
    reached = [int((nearest(tested, space.place(sampled(t, rows, rng))) <= radius).sum()) for t in (synthetic, train)]
    _, low, high = share(reached[0], len(tested))
    usual = max(reached[1], 1) / max(len(tested), 1)
    value = min(1.0, reached[0] / max(reached[1], 1))
    return Measure("coverage", value, rows, min(low / usual, value), min(1.0, high / usual))


def _distinct(train: Table, synthetic: Table, rng: np.random.Generator) -> Measure:
    """Return the share of distinct rows, beside the same share of as many training rows."""
    rows = min(train.rows, synthetic.rows, MOST_SCORED_ROWS)
    shares = [_distinct_share(sampled(t, rows, rng)) for t in (synthetic, train)]
    return Measure("distinct", min(1.0, shares[0] / max(shares[1], 1e-9)), rows)


def _distinct_share(table: Table) -> float:
    if not table.rows:
        return 0.0
    return len(np.unique(row_keys(table))) / table.rows


def row_keys(table: Table) -> np.ndarray:
    """Return each row as bytes (rows,): equal rows have equal bytes."""
    matrix = np.column_stack([np.asarray(v, dtype=np.float64) for v in table.columns.values()]) + 0.0
    matrix = np.ascontiguousarray(np.where(np.isnan(matrix), np.inf, matrix))
    return matrix.view(np.dtype((np.void, matrix.dtype.itemsize * matrix.shape[1]))).reshape(-1)


def _support(train: Table, synthetic: Table) -> tuple[tuple[LostValue, ...], Measure]:
    """Return the values that synthetic rows lack beyond chance, and the share of values kept, the mean over columns."""
    lost, kept = list[LostValue](), list[float]()
    for column in train.schema.columns:
        real, fake = (_values(column, t.columns[column.name], train.columns[column.name]) for t in (train, synthetic))
        found = [_lost(column.name, name, real[name], fake[name], train.rows, synthetic.rows) for name in real]
        gone = [value for value in found if value is not None]
        lost += gone
        if found:
            kept.append(1.0 - len(gone) / len(found))
    return tuple(lost), Measure("support", float(np.mean(kept)) if kept else 1.0, synthetic.rows)


def _lost(column: str, name: str, real: int, fake: int, real_rows: int, fake_rows: int) -> LostValue | None:
    """Return a value that has less than half of its share and too few rows for chance (a binomial test)."""
    from scipy.special import bdtr

    shares = real / real_rows, fake / fake_rows
    if shares[1] >= _LOST * shares[0]:
        return None
    chance = float(bdtr(fake, real + fake, fake_rows / (real_rows + fake_rows)))
    return LostValue(column, name, *shares) if chance < _CHANCE else None


def _values(column: NumberColumn | CategoryColumn, values: np.ndarray, fitted: np.ndarray) -> dict[str, int]:
    """Count the rows of each category, or of each end of a number, whose cuts come from ``fitted``."""
    if isinstance(column, CategoryColumn):
        counts = np.bincount(values + 1, minlength=len(column.categories) + 1).tolist()
        seen = np.bincount(fitted + 1, minlength=len(counts))
        return {n: c for n, c, s in zip(("missing", *column.categories), counts, seen, strict=True) if s}
    present = fitted[np.isfinite(fitted)]
    counted = {"missing": int((~np.isfinite(values)).sum())} if len(present) < len(fitted) else {}
    if not present.size or present.min() == present.max():
        return counted
    low, high = np.quantile(present, (TAIL, 1 - TAIL))
    middle = int(((values > low) & (values < high)).sum())
    return counted | {
        f"at most {low:.4g}": int((values <= low).sum()),
        **({f"between {low:.4g} and {high:.4g}": middle} if ((present > low) & (present < high)).any() else {}),
        f"at least {high:.4g}": int((values >= high).sum()),
    }
