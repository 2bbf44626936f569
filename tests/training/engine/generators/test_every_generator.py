"""Every registered generator keeps the contract: seeds, conditions, storage, sizes from ten rows up, and plain refusals."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from core.arrays import Array, pack_arrays, unpack_arrays
from core.errors import InputError
from tests.factories.mixed_tables import mixed_table
from training.engine.generators.protocol import FittedGenerator, GeneratorOptions
from training.engine.generators.registry import TABLE_GENERATORS
from training.engine.tables.infer import table_of_rows
from training.engine.tables.table import Table

NAMES = tuple(TABLE_GENERATORS)
SHORT, FEW = GeneratorOptions(steps=200), GeneratorOptions(steps=10)
QUICK = ("rule_based", "mixture", "autoregressive")  # the others are tested alike with --all
GIVEN = ("grade", "age")
SLOW = tuple(pytest.param(name, marks=pytest.mark.slow) for name in NAMES if name not in QUICK)
each = pytest.mark.parametrize("name", [*QUICK, *SLOW])


@lru_cache
def table() -> Table:
    return mixed_table(1_000)


@lru_cache
def fitted(name: str, given: tuple[str, ...] = GIVEN) -> FittedGenerator:
    return TABLE_GENERATORS[name].fit(table(), seed=3, given=given, options=SHORT)


def same(one: Table, two: Table) -> bool:
    return all(np.array_equal(one.columns[n], two.columns[n], equal_nan=n != "grade") for n in one.schema.names)


@each
def test_rows_keep_to_the_schema_and_the_same_seed_draws_the_same(name: str) -> None:
    drawn = fitted(name).sample(500, seed=1)
    drawn.check()
    assert drawn.rows == 500 and drawn.schema == table().schema
    age = drawn.columns["age"]
    assert (age == np.round(age)).all() and age.min() >= 17 and age.max() <= 90
    assert same(drawn, fitted(name).sample(500, seed=1)) and not same(drawn, fitted(name).sample(500, seed=2))


@each
def test_what_was_learned_is_stored_and_read_again(name: str) -> None:
    arrays = unpack_arrays(pack_arrays(fitted(name).arrays()))
    loaded = TABLE_GENERATORS[name].load(table().schema, arrays)
    assert same(loaded.sample(300, seed=1), fitted(name).sample(300, seed=1))
    given = {"age": np.full(50, 30.0), "grade": np.zeros(50, dtype=np.int64)}
    assert same(loaded.sample(50, seed=1, given=given), fitted(name).sample(50, seed=1, given=given))
    np.testing.assert_array_equal(loaded.curves.train, fitted(name).curves.train)
    with pytest.raises(InputError, match="the stored generator"):
        TABLE_GENERATORS[name].load(table().schema, {})


@each
def test_marginals_and_dependence_are_learned(name: str) -> None:
    drawn, real = fitted(name).sample(4_000, seed=1), mixed_table(4_000, seed=9)
    for column in ("age", "income"):
        one, two = (np.log(t.columns[column]) for t in (drawn, real))
        assert abs(one.mean() - two.mean()) < 0.35 * two.std(), column
    for t in (drawn, real):
        assert np.corrcoef(t.columns["age"], np.log(t.columns["income"]))[0, 1] > 0.35
    assert abs((drawn.columns["gain"] == 0).mean() - 0.9) < 0.1
    assert abs(np.isnan(drawn.columns["height"]).mean() - np.isnan(real.columns["height"]).mean()) < 0.08


@each
def test_given_columns_are_kept_and_the_others_follow_them(name: str) -> None:
    means = []
    for age, grade in ((25.0, "low"), (70.0, "high")):
        code = table().schema.column("grade").categories.index(grade)  # type: ignore[union-attr]
        given = {"age": np.full(400, age), "grade": np.full(400, code)}
        drawn = fitted(name).sample(400, seed=1, given=given)
        drawn.check()
        assert (drawn.columns["age"] == age).all() and (drawn.columns["grade"] == code).all()
        means.append(np.log(drawn.columns["income"]).mean())
    assert means[1] - means[0] > 0.6, "the world's difference is 1.95"


@each
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"age": np.full(9, 30.0), "grade": np.full(10, 0)}, "9 values of 'age' are given for 10 rows"),
        ({"age": np.full(10, np.inf), "grade": np.full(10, 0)}, "row 0 of column 'age' is infinite"),
        ({"age": np.full(10, np.nan), "grade": np.full(10, 0)}, "row 0 of column 'age' is missing"),
        ({"age": np.full(10, 30.0), "grade": np.full(10, 7)}, "row 0 of column 'grade' is no code"),
        ({"income": np.full(10, 30.0)}, "fitted with the given columns grade, age"),
        ({"shoe": np.full(10, 30.0)}, "no column 'shoe'"),
    ],
)
def test_given_values_that_do_not_fit_are_refused(name: str, given: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fitted(name).sample(10, seed=1, given=given)


@each
@pytest.mark.parametrize("rows", [-1, 10**9])
def test_a_number_of_rows_that_cannot_be_drawn_is_refused(name: str, rows: int) -> None:
    with pytest.raises(InputError, match="ask for 0 to 14285714 rows of this table at a time"):
        fitted(name).sample(rows, seed=1)
    assert fitted(name).sample(0, seed=1).rows == 0


@each
def test_a_table_that_nothing_is_learned_from_is_refused(name: str) -> None:
    generator = TABLE_GENERATORS[name]
    with pytest.raises(InputError, match="at least 10 rows, and the table has 1"):
        generator.fit(table().take(np.arange(1)), seed=1)
    with pytest.raises(InputError, match="no column 'shoe'"):
        generator.fit(table(), seed=1, given=("shoe",))
    with pytest.raises(InputError, match="every column of the table is given"):
        generator.fit(table(), seed=1, given=table().schema.names)
    broken = Table(table().schema, {**table().columns, "age": np.where(np.arange(1_000) == 7, np.inf, 20.0)})
    with pytest.raises(InputError, match="row 7 of column 'age' is infinite"):
        generator.fit(broken, seed=1)


@pytest.mark.parametrize(
    "name", ["rule_based", "mixture", pytest.param("autoregressive", marks=pytest.mark.slow), *SLOW]
)
def test_few_rows_and_columns_without_content_are_learned_from(name: str) -> None:
    rows = 10 if name in ("vae", "mixture") else 50
    rng = np.random.default_rng(1)
    odd = table_of_rows(
        {
            "constant": np.full(rows, 3.25),
            "nothing": np.full(rows, np.nan),
            "silent": np.full(rows, None, dtype=object),
            "one": np.full(rows, "a"),
            "value": rng.normal(size=rows),
            "half": np.where(rng.random(rows) < 0.5, np.nan, 1.0),
        }
    )
    drawn = TABLE_GENERATORS[name].fit(odd, seed=1, given=("one", "constant"), options=FEW).sample(100, seed=1)
    drawn.check()
    assert (drawn.columns["constant"] == 3.25).all() and np.isnan(drawn.columns["nothing"]).all()
    assert (drawn.columns["silent"] == -1).all() and (drawn.columns["one"] == 0).all()
    assert len(np.unique(drawn.columns["value"])) > 50, "values between the few that were seen"


@pytest.mark.parametrize("name", ["rule_based", "mixture", pytest.param("autoregressive", marks=pytest.mark.slow)])
def test_with_declared_columns_nothing_but_counts_is_learned(name: str) -> None:
    """The cells do not depend on the rows, so that noisy counts could take the place of true ones."""
    options = GeneratorOptions(steps=5, declared_only=True)
    some = [mixed_table(200, seed=s) for s in (1, 2)]
    schema = table().schema
    cells = [
        {k: a for k, a in TABLE_GENERATORS[name].fit(
            Table(schema, t.columns), seed=1, options=options).arrays().items() if k.endswith("knots")}
        for t in some
    ]  # fmt: skip
    assert len(cells[0]) == len(schema.columns)
    for key in cells[0]:
        np.testing.assert_array_equal(cells[0][key], cells[1][key])


class Kept:
    """A checkpoint in memory, that cancels the fit at a share."""

    def __init__(self, until: float = 2.0) -> None:
        self.until, self.shares = until, list[float]()
        self.saved: bytes | None = None

    def load(self) -> dict[str, Array] | None:
        return unpack_arrays(self.saved) if self.saved else None

    def save(self, arrays: dict[str, Array], /) -> None:
        self.saved = pack_arrays(arrays)

    def report(self, share: float, message: str) -> None:
        self.shares.append(share)
        if share > self.until:
            raise KeyboardInterrupt


@each
def test_a_fit_that_was_stopped_resumes_bit_for_bit(name: str) -> None:
    kept, generator = Kept(until=0.5), TABLE_GENERATORS[name]
    options = GeneratorOptions(steps=300)
    try:
        generator.fit(table(), seed=5, given=GIVEN, report=kept.report, checkpoints=kept, options=options)
    except KeyboardInterrupt:
        assert kept.saved is not None or name == "rule_based", "its fit is one step"
    again = Kept()
    again.saved = kept.saved
    resumed = generator.fit(table(), seed=5, given=GIVEN, report=again.report, checkpoints=again, options=options)
    whole = generator.fit(table(), seed=5, given=GIVEN, options=options)
    for key, array in whole.arrays().items():
        np.testing.assert_array_equal(resumed.arrays()[key], array, err_msg=key)
    assert 0 < again.shares[-1] <= 1 and len(again.shares) <= max(len(kept.shares), 1)


@pytest.mark.parametrize("name", ["mixture", pytest.param("autoregressive", marks=pytest.mark.slow)])
def test_a_checkpoint_of_other_rows_is_not_resumed(name: str) -> None:
    kept, generator = Kept(), TABLE_GENERATORS[name]
    generator.fit(mixed_table(1_000, seed=8), seed=5, checkpoints=kept, options=FEW)
    fresh = generator.fit(table(), seed=5, checkpoints=kept, options=FEW)
    assert same(fresh.sample(50, seed=1), generator.fit(table(), seed=5, options=FEW).sample(50, seed=1))
