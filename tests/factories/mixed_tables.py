"""A table of mixed columns with planted dependence, for tests of generators and scores."""

from __future__ import annotations

import numpy as np

from training.engine.tables.infer import table_of_rows
from training.engine.tables.table import Table

GRADES = np.array(["low", "mid", "high"])


def mixed_table(rows: int, seed: int = 1) -> Table:
    """Age and income rise together; the grade follows the age; ``level`` is the grade's number; gains are mostly zero.

    Heights are missing for a fifth of the rows, and more often for one grade. Each person has four rows.
    """
    rng = np.random.default_rng(seed)
    age = np.clip(np.round(rng.gamma(6.0, 7.0, size=rows)), 17, 90)
    level = np.clip((age - 17) // 20 + (rng.random(rows) < 0.2), 0, 2).astype(int)
    income = np.exp(9.0 + 0.03 * age + 0.3 * level + 0.4 * rng.normal(size=rows))
    height = np.where(rng.random(rows) < 0.1 + 0.1 * level, np.nan, rng.normal(170, 10, size=rows))
    return table_of_rows(
        {
            "age": age,
            "income": income,
            "grade": GRADES[level],
            "level": level + 1.0,
            "gain": np.where(rng.random(rows) < 0.9, 0.0, rng.exponential(5_000, size=rows)),
            "height": height,
            "happy": np.where(rng.random(rows) < 1 / (1 + np.exp(-(income - 30_000) / 10_000)), "yes", "no"),
        },
        person=np.arange(rows) // 4,
    )
