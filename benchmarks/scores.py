"""Score controls whose right values are known: fresh rows, a bootstrap copy, independent columns, noise and collapsed rows.

The table is simulated: mixed columns with missing values, pairs and one effect of third order. ``--rows`` sets its size.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import Check, arguments, finish
from training.engine.scores.scores import Scores, score
from training.engine.tables.schema import CategoryColumn, NumberColumn, TableSchema
from training.engine.tables.table import Table

ROWS, QUICK_ROWS = 10_000, 3_000
SCHEMA = TableSchema(
    (
        NumberColumn("age", 16, 90, whole=True),
        NumberColumn("income", 0, 1e7, missing=True),
        NumberColumn("hours", 0, 100),
        CategoryColumn("work", tuple("abcdefg")),
        CategoryColumn("sex", ("f", "m")),
        NumberColumn("mood", -1, 1),
    )
)


def simulated(rows: int, rng: np.random.Generator) -> Table:
    """Simulate people in four groups. Mood depends on sex and age together."""
    group = rng.integers(0, 4, rows)
    age = np.clip(np.round(rng.normal(30 + 8 * group, 6)), 16, 90)
    sex = (rng.random(rows) < 0.3 + 0.1 * group).astype(np.int64)
    hours = np.clip(rng.normal(25 + 5 * group + 5 * sex, 8), 0, 100)
    income = np.exp(rng.normal(8 + 0.03 * age + 0.2 * sex + 0.02 * hours, 0.5))
    income[rng.random(rows) < 0.05] = np.nan
    work = np.where(rng.random(rows) < 0.6, group, rng.choice(7, rows, p=[0.3, 0.2, 0.2, 0.15, 0.1, 0.04, 0.01]))
    mood = np.tanh(rng.normal(0, 0.4, rows) + 0.5 * (2 * sex - 1) * np.sign(age - 40))
    return Table(SCHEMA, {"age": age, "income": income, "hours": hours, "work": work, "sex": sex, "mood": mood})


def _shuffled(table: Table, rng: np.random.Generator) -> Table:
    return Table(SCHEMA, {name: values[rng.permutation(table.rows)] for name, values in table.columns.items()})


def _near(table: Table, rng: np.random.Generator) -> Table:
    columns = dict(table.columns)
    for name in ("income", "hours", "mood"):
        columns[name] = columns[name] * (1 + 0.01 * rng.normal(size=table.rows))
    return Table(
        SCHEMA, columns | {"mood": np.clip(columns["mood"], -1, 1), "hours": np.clip(columns["hours"], 0, 100)}
    )


CONTROLS: dict[str, Callable[[Table, int, np.random.Generator], Table]] = {
    "fresh": lambda train, rows, rng: simulated(rows, rng),
    "bootstrap": lambda train, rows, rng: train.take(rng.integers(0, train.rows, rows)),
    "independent": lambda train, rows, rng: _shuffled(train, rng),
    "copy": lambda train, rows, rng: train,
    "near_copy": lambda train, rows, rng: _near(train, rng),
    "collapsed": lambda train, rows, rng: simulated(rows, rng).take(rng.integers(0, rows // 100, rows)),
}


def main(options: Namespace) -> None:
    """Run the benchmark, print its results and checks, and store them."""
    rows = QUICK_ROWS if options.quick else options.rows
    found = dict[str, Scores]()
    lines = list[dict[str, Any]]()
    rng = np.random.default_rng(1)
    train, holdout = simulated(rows, rng), simulated(rows // 2, rng)
    for name, control in CONTROLS.items():
        synthetic, start = control(train, rows, rng), time.perf_counter()
        found[name] = score(train, holdout, synthetic, seed=1)
        parts = {part: measure.value for part, measure in found[name].parts.items()}
        three = {"quality": found[name].quality, "diversity": found[name].diversity, "privacy": found[name].privacy}
        lines.append({"part": name, "rows": rows, "seconds": time.perf_counter() - start, **three, **parts})
        print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in lines[-1].items()))
    checks = [
        Check("fresh_quality", found["fresh"].quality, 0.95),
        Check("fresh_privacy", found["fresh"].privacy, 0.95),
        Check("independent_quality", found["independent"].quality, 0.1, at_most=True),
        Check("bootstrap_privacy", found["bootstrap"].privacy, 0.1, at_most=True),
        Check("near_copy_privacy", found["near_copy"].privacy, 0.1, at_most=True),
        Check("collapsed_diversity", found["collapsed"].diversity, 0.3, at_most=True),
        Check("slowest_seconds", max(line["seconds"] for line in lines), 60.0, at_most=True),
    ]
    finish("scores", options, lines, checks)


if __name__ == "__main__":
    parser = arguments(__doc__, seeds=1)
    parser.add_argument("--rows", type=int, default=ROWS, help="of the training table (default: %(default)s)")
    main(parser.parse_args())
