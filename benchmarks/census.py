"""Generate a census-like table: six quasi-identifiers and an occupation, with realistic distributions and dependences.

No real person is in it. The shares of the categories resemble those of the well-known Adult table: most people are of one race,
have one of three levels of education, and work forty hours. Education and marriage depend on age, and hours on sex and age.
"""

from __future__ import annotations

import numpy as np

from core.arrays import Floats, Ints
from privacy.engine.anonymize.columns import Column

EDUCATION = (
    "preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "high school", "some college", "vocational",
    "academic", "bachelor", "master", "professional", "doctor",
)  # fmt: skip
MARITAL = ("never married", "married", "remarried", "separated", "divorced", "widowed", "spouse absent")
RACES = ("a", "b", "c", "d", "e")
OCCUPATIONS = 14
COLUMNS = (
    Column("age", 17.0, 90.0),
    Column("education", 0.0, 15.0, EDUCATION),
    Column("marital", 0.0, 6.0, MARITAL),
    Column("race", 0.0, 4.0, RACES),
    Column("sex", 0.0, 1.0, ("f", "m")),
    Column("hours", 1.0, 99.0),
)
_SCHOOLING = (
    0.002,
    0.005,
    0.01,
    0.02,
    0.015,
    0.028,
    0.036,
    0.013,
    0.322,
    0.223,
    0.042,
    0.033,
    0.164,
    0.054,
    0.018,
    0.015,
)


def census(rows: int, seed: int) -> tuple[Floats, Ints]:
    """Generate quasi-identifiers (rows, 6), with categories as indices, and occupations (rows,)."""
    rng = np.random.default_rng(seed)
    age = np.clip(np.rint(17 + rng.gamma(2.6, 8.4, rows)), 17, 90)
    education = rng.choice(len(EDUCATION), rows, p=np.array(_SCHOOLING) / sum(_SCHOOLING)).astype(float)
    education = np.where((age < 22) & (education > 9), 9.0, education)
    marital = _marital(rng, age)
    race = rng.choice(len(RACES), rows, p=[0.854, 0.096, 0.031, 0.01, 0.009]).astype(float)
    sex = (rng.random(rows) < 0.67).astype(float)
    spread = np.where(rng.random(rows) < 0.47, 0.0, rng.normal(0, 12, rows))
    hours = np.clip(np.rint(40 + spread + 2 * sex - 8 * (age < 22) - 12 * (age > 65)), 1, 99)
    occupation = np.clip(np.rint(education / 15 * 9 + rng.normal(2, 3, rows)), 0, OCCUPATIONS - 1).astype(np.int64)
    return np.column_stack([age, education, marital, race, sex, hours]), occupation


def _marital(rng: np.random.Generator, age: Floats) -> Floats:
    young, u = age < 27, rng.random(len(age))
    settled = np.select([u < 0.58, u < 0.6, u < 0.64, u < 0.82, u < 0.87, u < 0.89], [1, 2, 3, 4, 5, 6], 0)
    return np.where(young & (rng.random(len(age)) < 0.8), 0, settled).astype(float)
