"""Regions of states are public: categories, and fine parts of declared bounds joined to about a tenth of the rows."""

from __future__ import annotations

import numpy as np
import pytest

from loops.engine.rows.region_axes import NOWHERE, RegionAxis
from loops.engine.spec import Feature
from tests.factories.assignments import axes, spec_with

NEED, STEPS, PLACE = axes()


def counted(axis: RegionAxis, cells: list[str], name: str) -> np.ndarray:
    places = axis.places([{name: cell} for cell in cells])
    return np.bincount(places[places >= 0], minlength=axis.parts)


def test_even_rows_give_ten_equal_regions() -> None:
    spans = NEED.regions(counted(NEED, [f"{(i + 0.5) / 1000}" for i in range(1_000)], "need"))
    assert [NEED.words(s) for s in spans][::9] == ["need is 0 to 0.1", "need is 0.9 to 1"] and len(spans) == 10


def test_rows_crowded_at_one_end_are_still_told_apart() -> None:
    cells = [f"{x:.1f}" for x in np.random.default_rng(1).exponential(60, 5_000)]
    spans = STEPS.regions(counted(STEPS, cells, "steps"))
    assert len(spans) >= 5 and STEPS.words(spans[0]) == "steps is 0 to 20"
    assert [first for first, _ in spans[1:]] == [last + 1 for _, last in spans[:-1]] and spans[-1][1] == 49


def test_a_category_is_a_region() -> None:
    spans = PLACE.regions(counted(PLACE, ["home", "work", "WORK"], "place"))
    assert [PLACE.words(s) for s in spans] == ["place is home", "place is work"]


def test_a_missing_value_that_is_filled_is_a_region_of_its_own() -> None:
    spec = spec_with(missing={"need": 0.5, "place": "home"})
    need, _, place = axes(spec)
    for axis, name, cell in ((need, "need", "0.2"), (place, "place", "home")):
        spans = axis.regions(counted(axis, [cell, "", "NA"], name))
        assert axis.words(spans[-1]) == f"{name} is missing" and len(spans) == 2


@pytest.mark.parametrize("cell", ["", "NA", "x", "nan"])
def test_a_value_that_the_import_rejects_lies_nowhere(cell: str) -> None:
    assert NEED.places([{"need": "0.5"}, {"need": cell}]).tolist() == [25, NOWHERE]
    assert PLACE.places([{"place": cell}]).tolist() == [NOWHERE]


def test_a_value_beyond_its_bounds_lies_at_the_bound() -> None:
    assert NEED.places([{"need": "-3"}, {"need": "1"}, {"need": "7"}]).tolist() == [0, 49, 49]


def test_a_transform_applies_before() -> None:
    spec = spec_with((Feature("need", "learned", bounds=(0.0, 1.0)),))
    spec.imports.transforms["need"] = "x / 100"
    (axis,) = axes(spec)
    assert axis.places([{"need": "50"}, {"need": "100"}]).tolist() == [25, 49]
