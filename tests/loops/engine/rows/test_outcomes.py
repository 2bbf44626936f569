"""What followed a decision, beyond what the tests of whole rows show: defaults, bounds, appropriateness."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from loops.engine.rows.reader import LoggedRow, RowReader
from loops.engine.spec import Reward
from tests.factories.diary import COLUMNS, diary, row


def read(cells: dict[str, str], declared: dict[str, Any] | None = None, **imports: Any) -> LoggedRow:
    spec = diary(**imports)
    spec = replace(spec, reward=replace(spec.reward, **(declared or {})))
    return RowReader(spec, COLUMNS, need="decision").read(row(**cells))


class TestTheDefault:
    def test_is_given_to_a_decision_that_nothing_was_heard_of_and_counted(self) -> None:
        got = read({"felt": ""}, {"default": -0.5})
        assert got.reward[0] == -0.5 and got.notes == (("filled", "felt"),)
        assert np.isnan(got.reward[1:]).all()

    def test_is_in_reward_units_and_not_transformed(self) -> None:
        assert read({"felt": ""}, {"default": -0.5}, transforms={"reward": "x * 100"}).reward[0] == -0.5

    def test_is_given_where_the_transform_has_no_value(self) -> None:
        assert read({"felt": "-2"}, {"default": 0.0}, transforms={"reward": "log(x)"}).reward[0] == 0.0

    def test_is_not_given_to_what_was_heard(self) -> None:
        got = read({"felt": "1.5"}, {"default": -0.5})
        assert got.reward[0] == 1.5 and got.notes == ()

    def test_is_not_given_where_nobody_could_be_spoken_to(self) -> None:
        got = read({"felt": "", "free": "0", "did": "", "p": "", "when": "", "when_p": ""}, {"default": -0.5})
        assert np.isnan(got.reward).all()

    def test_there_is_none_unless_declared(self) -> None:
        assert Reward(scale=1.0).default is None
        assert np.isnan(read({"felt": ""}).reward[0])

    def test_is_given_to_components_none_of_which_was_observed(self) -> None:
        got = read({"felt": ""}, {"default": 0.25}, reward={"sentiment": "felt"})
        assert got.reward[0] == 0.25 and np.isnan(got.reward[1:]).all()


class TestBounds:
    @pytest.mark.parametrize(
        ("component", "felt", "kept"), [("sentiment", "-7", -2), ("engagement", "3", 1), ("empathy", "5", 1)]
    )
    def test_a_component_outside_its_bounds_is_clamped_and_counted(
        self, component: str, felt: str, kept: float
    ) -> None:
        got = read({"felt": felt}, reward={component: "felt"})
        assert kept in got.reward[1:].tolist() and ("clamped", "felt") in got.notes

    @pytest.mark.parametrize(("felt", "kept"), [("120", 20.0), ("-1e303", -20.0), ("1e308", 20.0)])
    def test_a_total_beyond_20_reward_scales_is_clamped_and_counted(self, felt: str, kept: float) -> None:
        got = read({"felt": felt})
        assert got.reward[0] == kept and got.notes == (("clamped", "felt"),)

    def test_a_total_is_clamped_after_its_transform(self) -> None:
        got = read({"felt": "700"}, transforms={"reward": "exp(x)"})
        assert got.reward[0] == 20.0 and got.notes == (("clamped", "felt"),)
        assert read({"felt": "19"}).notes == ()

    def test_a_total_of_extreme_components_is_bounded(self) -> None:
        inputs = {"sentiment_before": "mood", "sentiment_after": "felt"}
        got = read({"mood": "-1", "felt": "1e308"}, reward=inputs)
        assert got.reward[:2].tolist() == pytest.approx([0.8, 2.0])


class TestComposition:
    both = {"sentiment_before": "mood", "sentiment_after": "felt"}
    apt = {"appropriateness": {"speak": "-mood"}}

    def test_empathy_is_how_apt_the_action_was(self) -> None:
        got = read({"mood": "0.5", "felt": "0.5"}, self.apt, reward=self.both)
        assert got.reward[4] == 0.25  # 1 - mood scaled to [0, 1]
        assert got.reward[0] == pytest.approx(0.1 * 0.25)

    def test_the_table_alone_is_no_outcome(self) -> None:
        got = read({"felt": ""}, self.apt, reward={"rating": "felt"})
        assert np.isnan(got.reward).all()

    def test_a_component_of_the_file_goes_before_the_composed_one(self) -> None:
        got = read({"felt": "0.9"}, self.apt, reward={**self.both, "empathy": "felt"})
        assert got.reward[4] == 0.9

    def test_timing_is_measured_from_the_best_moment_of_the_timing_head(self) -> None:
        best = {"best_delay_seconds": {"later": 1_800}, "delay_tolerance_seconds": 600}
        got = [read({"when": w, "felt": "1200"}, best, reward={"delay": "felt"}).reward[5] for w in ("later", "now")]
        assert got == pytest.approx([np.exp(-1.0), np.exp(-2.0)])


class TestATotalBesideComponents:
    columns = {"total": "felt", "sentiment": "mood", "engagement": "gap"}

    def test_is_composed_where_its_cell_is_empty_and_counted(self) -> None:
        got = read({"felt": "", "mood": "1", "gap": "0.8"}, {"default": 0.0}, reward=self.columns)
        assert got.reward[0] == pytest.approx(0.4 * 1 + 0.4 * 0.8) and got.reward[1:3].tolist() == [1, 0.8]
        assert got.notes == (("composed", "felt"),) and got.reported

    def test_goes_before_the_components(self) -> None:
        assert read({"felt": "1.5", "mood": "1", "gap": "0.8"}, reward=self.columns).reward[0] == 1.5

    def test_is_composed_from_inputs_too(self) -> None:
        got = read({"felt": "", "mood": "0.5"}, reward={"total": "felt", "rating": "mood"})
        assert got.reward[0] == pytest.approx(0.1 * 0.5)

    def test_is_composed_where_its_transform_has_no_value(self) -> None:
        got = read({"felt": "-2", "mood": "1"}, reward=self.columns, transforms={"reward": "log(x)"})
        assert got.reward[0] == pytest.approx(0.4 + 0.4 * 0.25)

    def test_is_the_default_where_no_component_was_observed_either(self) -> None:
        got = read({"felt": ""}, {"default": -0.5}, reward={"total": "felt", "empathy": "gone"})
        assert got.reward[0] == -0.5 and got.notes == (("filled", "felt"),) and not got.reported
