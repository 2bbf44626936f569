"""Measure synthetic tables against real ones: detection, downstream use, and a distance attack on membership."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.arrays import Floats
from training.engine.tables.schema import CategoryColumn, NumberColumn
from training.engine.tables.table import Table

FALSE_POSITIVES = 0.01  # at which the share of members found is read
_ATTACKED = 4_000  # members, and as many others


def matrix(table: Table) -> Floats:
    """Return a table as numbers (n, columns): categories as codes, missing as NaN."""
    out = np.column_stack([table.columns[name].astype(np.float64) for name in table.schema.names])
    for i, column in enumerate(table.schema.columns):
        if isinstance(column, CategoryColumn):
            out[out[:, i] < 0, i] = np.nan
    return out


def categories(table: Table) -> list[bool]:
    """Return which columns trees split as categories: those with at most 250 of them."""
    return [isinstance(column, CategoryColumn) and len(column.categories) <= 250 for column in table.schema.columns]


def detection(real: Table, synthetic: Table, seed: int) -> float:
    """Return the AUC (three folds) of boosted trees that tell synthetic rows from as many real ones. 0.5: they cannot."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    rows, rng = min(real.rows, synthetic.rows), np.random.default_rng(seed)
    parts = [matrix(t.take(rng.permutation(t.rows)[:rows])) for t in (real, synthetic)]
    x, y, found = np.vstack(parts), np.repeat([0, 1], rows), np.zeros(2 * rows)
    for train, test in StratifiedKFold(3, shuffle=True, random_state=seed).split(x, y):
        found[test] = _trees(real, seed).fit(x[train], y[train]).predict_proba(x[test])[:, 1]
    return float(roc_auc_score(y, found))


def downstream(synthetic: Table, test: Table, target: str, seed: int) -> float:
    """Return the AUC on real rows of trees that learned the two-valued target from synthetic ones."""
    from sklearn.metrics import roc_auc_score

    names = tuple(name for name in test.schema.names if name != target)
    x, y = synthetic.part(names), synthetic.columns[target]
    model = _trees(x, seed).fit(matrix(x), y)
    return float(roc_auc_score(test.columns[target], model.predict_proba(matrix(test.part(names)))[:, 1]))


def _trees(table: Table, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(categorical_features=categories(table), random_state=seed)


def members_found(train: Table, others: Table, synthetic: Table, seed: int) -> float:
    """Return the share of training rows that their distance to the nearest synthetic row gives away, at 1% false positives."""
    rng = np.random.default_rng(seed)
    view = _View.of(train)
    space = view.of_table(synthetic)
    distance = [_nearest(view.of_table(t.take(rng.permutation(t.rows)[:_ATTACKED])), space) for t in (train, others)]
    jitter = [d + 1e-9 * rng.random(len(d)) for d in distance]  # ties in random order
    return float((jitter[0] <= np.quantile(jitter[1], FALSE_POSITIVES)).mean())


@dataclass(frozen=True)
class _View:
    """Give each column the same weight: places in the distribution for numbers, indicators for categories."""

    sorted_numbers: dict[str, Floats]

    @classmethod
    def of(cls, table: Table) -> _View:
        numbers = [c.name for c in table.schema.columns if isinstance(c, NumberColumn)]
        return cls({name: np.sort(table.columns[name]) for name in numbers})

    def of_table(self, table: Table) -> Floats:
        parts = list[Floats]()
        for column in table.schema.columns:
            values = table.columns[column.name]
            if isinstance(column, NumberColumn):
                known = self.sorted_numbers[column.name]
                place = np.searchsorted(known, values) / len(known)
                parts += [np.where(np.isnan(values), 2.0, place)[:, None]]
            else:
                parts += [(values[:, None] == np.arange(-1, len(column.categories))) / np.sqrt(2)]
        return np.hstack(parts).astype(np.float32)


def _nearest(rows: Floats, space: Floats) -> Floats:
    """Return the squared distance (n,) of each row to the nearest of the space."""
    own, out = (space**2).sum(axis=1), np.empty(len(rows))
    for first in range(0, len(rows), 500):
        part = rows[first : first + 500]
        out[first : first + 500] = (own - 2 * part @ space.T).min(axis=1) + (part**2).sum(axis=1)
    return out


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what the work returns, and the seconds of processor time that it took."""
    began = time.process_time()
    done = work()
    return done, time.process_time() - began
