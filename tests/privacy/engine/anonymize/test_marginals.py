"""Noised marginals: bounded by person, near the truth, and stated for reading."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import InputError
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.marginals import (
    CELLS,
    marginal_release,
    marginal_tables,
    marginal_totals,
    technique,
)
from privacy.engine.anonymize.protocol import ChargedRequest
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.engine.dp.accounting import LATTICE_STEPS, calibrate
from privacy.engine.dp.mechanisms import add_totals

MOOD, PLACE, ENERGY = (
    Column("mood", -1.0, 1.0),
    Column("place", 0, 2, ("home", "office", "street")),
    Column("energy", 0, 1),
)
COLUMNS = (MOOD, PLACE, ENERGY)
PEOPLE = 4_000


def records(people: int = PEOPLE) -> np.ndarray:
    """Energy follows mood, and who is at home is in a good mood."""
    rng = np.random.default_rng(5)
    mood = rng.uniform(-1, 1, people)
    return np.column_stack([mood, np.where(mood > 0, 0, rng.integers(1, 3, people)), (mood + 1) / 2])


@pytest.mark.parametrize("rows", [1, 7])
def test_nobody_moves_a_block_by_more_than_its_clip(rows: int) -> None:
    """Also who has many records: each table of a person sums to 1."""
    rng = np.random.default_rng(2)
    values = np.column_stack([rng.uniform(-9, 9, rows), rng.integers(0, 3, rows), rng.uniform(0, 1, rows)])
    totals = marginal_totals(values, np.zeros(rows, dtype=np.int64), COLUMNS)
    for block in totals.blocks.values():
        assert 0 < np.square(block).sum() <= LATTICE_STEPS**2


def test_one_record_each_spends_the_whole_clip_and_so_no_noise_is_wasted() -> None:
    totals = marginal_totals(records(1), np.zeros(1, dtype=np.int64), COLUMNS)
    for block in totals.blocks.values():
        assert np.square(block).sum() > 0.99 * LATTICE_STEPS**2


def test_shards_add_up_and_a_record_that_lacks_a_value_is_left_out() -> None:
    values, users = records(100), np.arange(100)
    whole = marginal_totals(values, users, COLUMNS)
    parts = add_totals(
        [marginal_totals(values[:40], users[:40], COLUMNS), marginal_totals(values[40:], users[40:], COLUMNS)]
    )
    assert all((whole.blocks[name] == parts.blocks[name]).all() for name in whole.blocks)
    nobody = marginal_totals(np.full((2, 3), np.nan), np.array([1, 2]), COLUMNS)
    assert all(not block.any() for block in nobody.blocks.values())


def test_tables_are_near_the_truth_and_the_rho_is_what_was_charged() -> None:
    calibration = calibrate(epsilon=1.0, delta=1e-6, maximum=1.0)
    noised = marginal_release(marginal_totals(records(), np.arange(PEOPLE), COLUMNS), COLUMNS, calibration.sigma)
    assert float(noised["singles_rho"][0] + noised["pairs_rho"][0]) <= calibration.rho_nano / 1e9
    read = marginal_tables(noised, COLUMNS)
    assert abs(read.users - PEOPLE) < 5 * read.users_sd
    assert read.singles[1][0] == pytest.approx(0.5, abs=0.05)
    assert read.pairs[0, 2].shape == (8, 8) and np.trace(read.pairs[0, 2]) > 0.7, "energy follows mood"
    assert all(table.min() >= 0 and table.sum() == pytest.approx(1) for table in (*read.singles, *read.pairs.values()))


def test_shares_of_cells_are_read_by_name() -> None:
    noised = marginal_release(marginal_totals(records(), np.arange(PEOPLE), COLUMNS), COLUMNS, 1.0)
    told = technique.table(ChargedRequest(COLUMNS, {}, 1.0, 1e-6), noised)
    assert isinstance(told, dict) and list(told["columns"]["place"]["histogram"]) == ["home", "office", "street"]
    cells = list(told["columns"]["mood"]["histogram"])
    assert len(cells) == CELLS and cells[0] == "-1..-0.875"


def test_one_column_alone_has_no_pairs() -> None:
    noised = marginal_release(marginal_totals(records()[:, :1], np.arange(PEOPLE), (MOOD,)), (MOOD,), 1.0)
    assert "pairs" not in noised and not marginal_tables(noised, (MOOD,)).pairs


def test_too_many_cells_are_refused_before_anybody_is_charged() -> None:
    wide = tuple(Column(f"c{i}", 0, 299, tuple(map(str, range(300)))) for i in range(4))
    with pytest.raises(InputError, match="540,000 cells, more than 200,000; name fewer fields"):
        technique.check(AnonymizeRequest("pulse", "differential_privacy", mode="marginals"), wide)
