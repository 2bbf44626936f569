"""A schema and a table say what is wrong with them, and a split keeps each person on one side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from core.errors import InputError
from training.engine.tables.infer import schema_of_rows, table_of_rows, values_of
from training.engine.tables.schema import CategoryColumn, NumberColumn, TableSchema
from training.engine.tables.table import Table

AGE, JOB = NumberColumn("age", 17, 90, whole=True), CategoryColumn("job", ("cook", "nurse"), missing=True)


def made(**columns: np.ndarray) -> Table:
    values = {"age": np.array([20.0, 30.0, 40.0, 50.0]), "job": np.array([0, 1, -1, 0])}
    return Table(TableSchema((AGE, JOB)), values | columns, np.array([1, 1, 2, 3]))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NumberColumn("age", 5, 1), "'age' has the bounds 5 to 1"),
        (lambda: NumberColumn("age", 0, float("inf")), "give finite ones"),
        (lambda: NumberColumn("age", 0.2, 0.8, whole=True), "there is none from 0.2 to 0.8"),
        (lambda: NumberColumn(" ", 0, 1), "a column has no name"),
        (lambda: CategoryColumn("job", ("cook", "cook")), "'job' has the category 'cook' twice"),
        (lambda: CategoryColumn("job", ()), "'job' has no category"),
        (lambda: TableSchema(()), "at least one column"),
        (lambda: TableSchema((AGE, AGE)), "the column 'age' twice"),
        (lambda: TableSchema((AGE,)).column("job"), "no column 'job'; its columns are: age"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"age": np.array([20.0, np.inf, 1.0, 1.0])}, "row 1 of column 'age' is infinite"),
        ({"age": np.array([20.0, 1.0, np.nan, 1.0])}, "row 2 of column 'age' is missing"),
        ({"job": np.array([0, 1, 0, 2])}, "row 3 of column 'job' is no code of its 2 categories"),
        ({"job": np.array([0, -2, 0, 1])}, "row 1 of column 'job' is no code"),
        ({"job": np.array([0, 1])}, "column 'job' has 2 rows, the first column 4"),
        ({"job": np.array([0.0, 1.0, 0.0, 0.0])}, "'job' has the type float64; give int64"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(columns: dict[str, np.ndarray], said: str) -> None:
    made().check()
    with pytest.raises(InputError, match=said):
        made(**columns).check()


def test_a_table_without_a_column_or_with_other_people_is_refused() -> None:
    with pytest.raises(InputError, match="lacks the column 'job'"):
        Table(made().schema, {"age": made().columns["age"]}).check()
    with pytest.raises(InputError, match="1 rows name a person, but the table has 4"):
        Table(made().schema, made().columns, np.array([1])).check()


def test_rows_and_columns_are_taken() -> None:
    taken = made().take(np.array([3, 0]))
    assert taken.rows == 2 and taken.columns["age"].tolist() == [50, 20] and taken.person is not None
    assert taken.person.tolist() == [3, 1]
    assert made().part(("job",)).schema.names == ("job",)


def test_a_split_keeps_each_person_on_one_side() -> None:
    rng = np.random.default_rng(1)
    person = rng.integers(100, size=1_000)
    table = Table(TableSchema((AGE,)), {"age": rng.uniform(17, 90, size=1_000)}, person)
    one, two = table.split(0.3, seed=4)
    assert one.person is not None and two.person is not None and not set(one.person) & set(two.person)
    assert len(set(one.person)) == 30 and one.rows + two.rows == 1_000
    assert np.array_equal(one.columns["age"], table.split(0.3, seed=4)[0].columns["age"])
    assert not np.array_equal(one.columns["age"], table.split(0.3, seed=5)[0].columns["age"])
    with pytest.raises(InputError, match="give one between 0 and 1"):
        table.split(1.0, seed=1)


def test_a_schema_is_learned_from_rows() -> None:
    schema = schema_of_rows(
        {
            "age": np.array([20, 30]),
            "height": np.array([1.5, np.nan]),
            "job": np.array(["nurse", None], dtype=object),
            "nothing": np.array([np.nan, np.nan]),
            "silent": np.array([None, None], dtype=object),
        }
    )
    assert schema.columns == (
        NumberColumn("age", 20, 30, whole=True),
        NumberColumn("height", 1.5, 1.5, missing=True),
        CategoryColumn("job", ("nurse",), missing=True),
        NumberColumn("nothing", 0, 0, missing=True),
        CategoryColumn("silent", (), missing=True),
    )
    with pytest.raises(InputError, match="row 1 of column 'x' is infinite"):
        schema_of_rows({"x": np.array([1.0, np.inf])})
    with pytest.raises(InputError, match="'x' has the type complex128"):
        schema_of_rows({"x": np.array([1j])})


def test_a_table_is_made_of_rows() -> None:
    table = table_of_rows({"age": np.array([20, 30]), "job": np.array(["nurse", None], dtype=object)})
    assert table.columns["job"].tolist() == [0, -1] and table.columns["age"].dtype == np.float64
    with pytest.raises(InputError, match="row 0 of column 'job' holds 'spy', which is no category"):
        values_of(JOB, np.array(["spy"]))
