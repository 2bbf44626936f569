"""Measure what a model trained on synthetic rows predicts of real ones, beside one trained on real rows (TSTR and TRTR)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.arrays import Bools
from core.errors import InputError
from training.engine.scores.boosting import probabilities
from training.engine.scores.encoding import categorical_columns, tree_categories, tree_matrix
from training.engine.scores.measures import Measure, auc
from training.engine.scores.sampling import MOST_HOLDOUT, people_of, sampled
from training.engine.tables.schema import CategoryColumn
from training.engine.tables.table import Table

MOST_TARGETS, MOST_CLASSES = 8, 6
PREDICTABLE = 0.55  # area under the curve by real rows; below, a column teaches nothing about use
_FEWEST = 5  # rows of a class


@dataclass(frozen=True)
class Task:
    """One yes-or-no question about a column: whether a number is above a cut, or a category is the one asked for."""

    column: str
    asked: float
    words: str

    def answers(self, table: Table) -> tuple[Bools, Bools]:
        """Return the answers (rows,) and which rows have one."""
        values = table.columns[self.column]
        if np.issubdtype(values.dtype, np.integer):
            return values == int(self.asked), values >= 0
        return values > self.asked, np.isfinite(values)


@dataclass(frozen=True)
class Prediction:
    """Hold the areas under the curve that real and synthetic rows teach for one task."""

    task: Task
    by_real: float
    by_synthetic: float


@dataclass(frozen=True)
class Downstream:
    """Hold the share of real rows' skill that synthetic rows teach, None where no column can be predicted at all."""

    skill: Measure | None
    predictions: tuple[Prediction, ...]


def downstream(
    train: Table, holdout: Table, synthetic: Table, target: str | None, rng: np.random.Generator, *, seed: int
) -> Downstream:
    """Compare models of the same size on the holdout, for one target or for up to eight columns.

    Without a named target, columns that real rows cannot predict are left out.
    Raises: InputError for a target that is no column.
    """
    if target is not None and target not in train.columns:
        raise InputError(f"there is no column {target!r} to predict; choose one of: {', '.join(train.columns)}")
    rows = min(train.rows, synthetic.rows, MOST_HOLDOUT)
    real, fake = sampled(train, rows, rng), sampled(synthetic, rows, rng)
    tested = sampled(holdout, MOST_HOLDOUT, rng)
    found = list[Prediction]()
    spread = list[tuple[float, float]]()
    for task in _tasks(train, target, rng):
        by_real, *_ = _area(task, train, real, tested, seed)
        if by_real < PREDICTABLE:
            continue
        area, low, high = _area(task, train, fake, tested, seed)
        found.append(Prediction(task, by_real, area))
        spread.append((low, high))
    if not found:
        return Downstream(None, ())
    total = sum(p.by_real - 0.5 for p in found)
    values = [
        sum(float(np.clip(a, 0.5, p.by_real)) - 0.5 for a, p in zip(areas, found, strict=True)) / total
        for areas in ([p.by_synthetic for p in found], [low for low, _ in spread], [high for _, high in spread])
    ]
    return Downstream(Measure("downstream", values[0], rows, values[1], values[2]), tuple(found))


def _area(task: Task, fitted: Table, taught: Table, tested: Table, seed: int) -> tuple[float, float, float]:
    """Train on one table and return the area under the curve on another, with its interval."""
    others = [i for i, c in enumerate(fitted.schema.columns) if c.name != task.column]
    kept = tree_categories(fitted)
    answers, known = task.answers(taught)
    truth, asked = task.answers(tested)
    features, queries = tree_matrix(taught, kept)[known][:, others], tree_matrix(tested, kept)[asked][:, others]
    kinds = categorical_columns(fitted.schema)[others]
    scores = probabilities(features, answers[known], queries, categorical=kinds, seed=seed)
    truth, people = truth[asked], people_of(tested)[asked]
    return auc(scores[truth], scores[~truth], persons=(people[truth], people[~truth]))


def _tasks(train: Table, target: str | None, rng: np.random.Generator) -> Iterator[Task]:
    names = list(train.columns) if target is None else [target]
    if len(names) > MOST_TARGETS:
        names = [names[i] for i in np.sort(rng.choice(len(names), MOST_TARGETS, replace=False))]
    for column in train.schema.columns:
        if column.name in names:
            values = train.columns[column.name]
            if isinstance(column, CategoryColumn):
                yield from _category_tasks(column, values, most=1 if target is None else MOST_CLASSES)
            else:
                yield from _number_tasks(column.name, values)


def _category_tasks(column: CategoryColumn, values: np.ndarray, most: int) -> Iterator[Task]:
    """Yield questions after the categories nearest to half of the rows, or after the commonest ones."""
    known = values[values >= 0]
    counts = np.bincount(known, minlength=len(column.categories))
    order = (
        np.argsort(-counts, kind="stable") if most > 1 else np.argsort(np.abs(counts - len(known) / 2), kind="stable")
    )
    asked = [k for k in order if _FEWEST <= counts[k] <= len(known) - _FEWEST]
    if len(asked) > 1 and (counts > 0).sum() == 2:
        asked = asked[:1]  # the other question is the same one
    for k in asked[:most]:
        yield Task(column.name, float(k), f"{column.name} is {column.categories[k]}")


def _number_tasks(name: str, values: np.ndarray) -> Iterator[Task]:
    """Yield the question whether a number is above its median, or above the cut nearest to half of the rows."""
    present = values[np.isfinite(values)]
    if not present.size:
        return
    middle = float(np.median(present))
    cuts = [middle, *(present[present < middle].max(initial=-np.inf, keepdims=True))]
    cut = min(cuts, key=lambda c: abs(float((present > c).mean()) - 0.5))
    above = int((present > cut).sum())
    if np.isfinite(cut) and _FEWEST <= above <= present.size - _FEWEST:
        yield Task(name, float(cut), f"{name} is above {cut:.4g}")
