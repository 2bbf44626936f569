"""Scores of controls have the right values: fresh rows, a shuffle, copies, noise, collapsed rows, and very few rows."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import InputError
from training.engine.scores.report import ReportFacts, html_report
from training.engine.scores.scores import Scores, score
from training.engine.tables.schema import CategoryColumn, NumberColumn, TableSchema
from training.engine.tables.table import Table

ROWS, HELD = 3_000, 1_500
SCHEMA = TableSchema(
    (
        NumberColumn("age", 16, 90, whole=True),
        NumberColumn("hours", 0, 100, missing=True),
        CategoryColumn("work", tuple("abcde")),
        CategoryColumn("rich", ("no", "yes")),
    )
)


def people(rows: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 4, rows)
    age = np.clip(np.round(rng.normal(30 + 8 * group, 6)), 16, 90)
    hours = np.clip(rng.normal(25 + 5 * group, 8), 0, 100)
    rich = (age + hours + rng.normal(0, 8, rows) > 75).astype(np.int64)
    hours[rng.random(rows) < 0.05] = np.nan
    work = np.where(rng.random(rows) < 0.6, group, rng.choice(5, rows))
    return Table(SCHEMA, {"age": age, "hours": hours, "work": work, "rich": rich})


def joined(*tables: Table) -> Table:
    return Table(SCHEMA, {name: np.concatenate([t.columns[name] for t in tables]) for name in SCHEMA.names})


def shuffled(table: Table) -> Table:
    rng = np.random.default_rng(3)
    return Table(SCHEMA, {name: values[rng.permutation(table.rows)] for name, values in table.columns.items()})


TRAIN, HOLDOUT, FRESH = people(ROWS, 1), people(HELD, 2), people(ROWS, 4)


def scored(synthetic: Table) -> Scores:
    return score(TRAIN, HOLDOUT, synthetic, seed=1)


def refused(scores: Scores) -> set[str]:
    return {failure.score for failure in scores.verdict(0.7)}


def test_fresh_rows_pass() -> None:
    scores = scored(FRESH)
    assert scores.quality >= 0.95 and scores.diversity >= 0.95 and scores.privacy >= 0.95
    assert not scores.verdict(0.7) and not scores.low_data


def test_a_shuffle_has_no_quality() -> None:
    assert scored(shuffled(TRAIN)).quality <= 0.1


def test_noise_has_no_quality() -> None:
    rng = np.random.default_rng(5)
    noise = {
        "age": rng.integers(16, 91, ROWS).astype(np.float64), "hours": rng.uniform(0, 100, ROWS),
        "work": rng.integers(0, 5, ROWS), "rich": rng.integers(0, 2, ROWS),
    }  # fmt: skip
    assert scored(Table(SCHEMA, noise)).quality <= 0.1


def test_a_copy_is_refused_by_privacy_alone() -> None:
    scores = scored(TRAIN)
    assert scores.quality >= 0.95 and refused(scores) == {"privacy"}


def test_near_copies_and_half_copies_are_refused() -> None:
    rng, columns = np.random.default_rng(6), dict(TRAIN.columns)
    columns["hours"] = columns["hours"] + rng.normal(0, 0.1, ROWS)
    half = joined(TRAIN.take(np.arange(ROWS // 2)), FRESH.take(np.arange(ROWS // 2)))
    for synthetic in (Table(SCHEMA, columns), half):
        assert "privacy" in refused(scored(synthetic))


def test_rows_of_the_holdout_are_told() -> None:
    assert "holdout" in refused(scored(HOLDOUT))


def test_collapsed_rows_have_no_diversity() -> None:
    repeated = FRESH.take(np.random.default_rng(7).integers(0, ROWS // 100, ROWS))
    cluster = people(8 * ROWS, 8)
    cluster = cluster.take(np.flatnonzero(cluster.columns["age"] > 54)[:ROWS])
    for synthetic in (repeated, cluster):
        assert scored(synthetic).diversity <= 0.3


def test_a_dropped_category_is_named() -> None:
    scores = scored(people(2 * ROWS, 9).take(np.flatnonzero(people(2 * ROWS, 9).columns["work"] != 4)))
    assert any(alarm.startswith("work: e is") for alarm in scores.alarms)


def test_the_same_seed_gives_the_same_scores() -> None:
    assert scored(FRESH).as_json() == scored(FRESH).as_json()


@pytest.mark.parametrize("rows", [1, 3, 50])
def test_few_rows_are_said_to_be_few_and_copies_of_them_refused(rows: int) -> None:
    few, held = people(rows, 1), people(max(1, rows // 4), 2)
    assert score(few, held, people(rows, 3), seed=1).low_data
    assert "privacy" in {f.score for f in score(few, held, few, seed=1).verdict(0.7)}


def test_columns_without_content_score_as_fresh() -> None:
    schema = TableSchema(
        (
            NumberColumn("one", 1, 1), NumberColumn("none", 0, 1, missing=True), CategoryColumn("single", ("a",)),
            CategoryColumn("absent", ("a", "b"), missing=True), NumberColumn("x", 0, 1),
        )
    )  # fmt: skip

    def empty(rows: int, seed: int) -> Table:
        return Table(
            schema,
            {
                "one": np.ones(rows), "none": np.full(rows, np.nan), "single": np.zeros(rows, np.int64),
                "absent": np.full(rows, -1), "x": np.random.default_rng(seed).random(rows),
            },
        )  # fmt: skip

    scores = score(empty(3000, 1), empty(2000, 2), empty(3000, 3), seed=1)
    assert scores.quality >= 0.9 and scores.privacy >= 0.9


def test_people_of_both_tables_are_an_error() -> None:
    ids = np.arange(ROWS)
    with pytest.raises(InputError, match="split the rows by person"):
        score(Table(SCHEMA, TRAIN.columns, ids), Table(SCHEMA, HOLDOUT.columns, ids[:HELD]), FRESH, seed=1)


def test_a_report_is_one_file_that_asks_for_nothing() -> None:
    steps = np.arange(10.0)
    facts = ReportFacts(
        "Job <1>", "vae", "release 4", "(1, 1e-5)-differential privacy for each user", 0.7,
        curves={"training": (steps, 1.0 / (steps + 1)), "holdout": (steps, 1.1 / (steps + 1))},
    )  # fmt: skip
    page = html_report(facts, scored(TRAIN), TRAIN, FRESH, seed=1)
    assert "Refused: no rows were kept" in page and "Job &lt;1&gt;" in page and facts.guarantee in page
    assert not any(sign in page for sign in ("<script", "http", "src=", "@import", "url("))
