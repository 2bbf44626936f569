"""Propensities of a row, in each way in which a loop file may say that its columns hold them."""

from __future__ import annotations

import math

import pytest

from loops.engine.rows.cells import RowError
from loops.engine.rows.propensities import PropensityReader
from loops.engine.spec import Head, ImportHead

TWO = Head("policy", ("wait", "speak"), "wait", (0.6, 0.4))
THREE = Head("policy", ("wait", "speak", "hug"), "wait", (0.4, 0.3, 0.3))
EACH = ImportHead("did", propensities={"wait": "pw", "speak": "ps", "hug": "ph"})


def refused(head: Head, columns: ImportHead, row: dict[str, str], action: int) -> str:
    with pytest.raises(RowError) as error:
        PropensityReader(head, columns).read(row, action)
    return error.value.reason


class TestOfTheActionTaken:
    def test_gives_the_other_of_two(self) -> None:
        read = PropensityReader(TWO, ImportHead("did", "p")).read({"p": "0.8"}, 1)
        assert (read.taken, read.actions) == (0.8, (0.2, 0.8))

    def test_leaves_others_unknown(self) -> None:
        read = PropensityReader(THREE, ImportHead("did", "p")).read({"p": "0.5"}, 1)
        assert read.actions[1] == 0.5 and math.isnan(read.actions[0]) and math.isnan(read.actions[2])

    @pytest.mark.parametrize(
        ("cell", "reason"),
        [
            ("0", "zero_propensity"),
            ("9.9e-7", "small_propensity"),
            ("1e-310", "small_propensity"),
            ("", "missing_propensity"),
            ("50", "bad_propensity"),
            ("-0.7", "bad_propensity"),
        ],
    )
    def test_is_a_probability_above_0(self, cell: str, reason: str) -> None:
        assert refused(TWO, ImportHead("did", "p"), {"p": cell}, 0) == reason

    def test_of_one_in_a_million_is_the_least(self) -> None:
        assert PropensityReader(TWO, ImportHead("did", "p")).read({"p": "1e-6"}, 0).taken == 1e-6

    def test_that_is_too_small_says_where_and_what_to_do(self) -> None:
        with pytest.raises(RowError, match=r"column 'p' gives less than one in a million.*check the column"):
            PropensityReader(TWO, ImportHead("did", "p")).read({"p": "1e-310"}, 0)


class TestOfOneAction:
    @pytest.mark.parametrize(("action", "taken"), [(0, 0.2), (1, 0.8)])
    def test_gives_that_of_the_action_taken(self, action: int, taken: float) -> None:
        reader = PropensityReader(TWO, ImportHead("did", "p", "speak"))
        assert reader.read({"p": "0.8"}, action).taken == taken

    def test_may_be_0_where_the_other_was_taken(self) -> None:
        reader = PropensityReader(TWO, ImportHead("did", "p", "speak"))
        assert reader.read({"p": "0"}, 0).taken == 1
        assert refused(TWO, ImportHead("did", "p", "speak"), {"p": "0"}, 1) == "zero_propensity"
        assert refused(TWO, ImportHead("did", "p", "speak"), {"p": "1"}, 0) == "zero_propensity"
        assert refused(TWO, ImportHead("did", "p", "speak"), {"p": "80"}, 0) == "bad_propensity"

    @pytest.mark.parametrize(("cell", "action"), [("1e-310", 1), ("0.99999999", 0)])
    def test_may_not_be_tiny_for_the_action_taken(self, cell: str, action: int) -> None:
        assert refused(TWO, ImportHead("did", "p", "speak"), {"p": cell}, action) == "small_propensity"


class TestOneColumnAnAction:
    def test_gives_all(self) -> None:
        read = PropensityReader(THREE, EACH).read({"pw": "0.5", "ps": "0.33", "ph": "0.17"}, 2)
        assert (read.taken, read.actions) == (0.17, (0.5, 0.33, 0.17))

    def test_sum_to_1_up_to_rounding(self) -> None:
        assert PropensityReader(THREE, EACH).read({"pw": "0.33", "ps": "0.33", "ph": "0.33"}, 0).taken == 0.33
        assert refused(THREE, EACH, {"pw": "0.5", "ps": "0.3", "ph": "0.1"}, 0) == "propensity_sum"
        assert refused(THREE, EACH, {"pw": "0.5", "ps": "0.5", "ph": "0"}, 2) == "zero_propensity"
        assert refused(THREE, EACH, {"pw": "0.5", "ps": "0.5", "ph": ""}, 0) == "missing_propensity"

    def test_are_not_tiny_for_the_action_taken(self) -> None:
        row = {"pw": "0.5", "ps": "0.5", "ph": "1e-310"}
        assert refused(THREE, EACH, row, 2) == "small_propensity"
        assert PropensityReader(THREE, EACH).read(row, 0).taken == 0.5

    def test_tell_a_sum_that_is_not_1(self) -> None:
        reader = PropensityReader(THREE, EACH)
        assert reader.wrong_sum({"pw": "0.5", "ps": "0.5", "ph": "0.5"}) == 1.5
        assert reader.wrong_sum({"pw": "0.33", "ps": "0.33", "ph": "0.33"}) is None


class TestTransforms:
    def test_do_not_let_a_tiny_one_through(self) -> None:
        columns = ImportHead("did", "p", transforms={"p": "exp(x)"})
        assert refused(TWO, columns, {"p": "-710"}, 0) == "small_propensity"
        assert refused(TWO, columns, {"p": "-800"}, 0) == "zero_propensity"

    @pytest.mark.parametrize(
        ("text", "cell", "expected"),
        [("x / 100", "80", 0.8), ("exp(x)", "-0.6931471805599453", 0.5), ("1 / (1 + exp(-x))", "0", 0.5)],
    )
    def test_make_a_probability_of_what_was_logged(self, text: str, cell: str, expected: float) -> None:
        reader = PropensityReader(TWO, ImportHead("did", "p", transforms={"p": text}))
        assert reader.read({"p": cell}, 0).taken == pytest.approx(expected)
