from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from loops.engine.rows.cells import RowError
from loops.engine.rows.choices import LoggedChoice
from loops.engine.rows.reader import LoggedRow, RowMoment, RowReader
from loops.engine.spec import ImportHead
from tests.factories.diary import COLUMNS, diary, row


def read(cells: dict[str, str] | None = None, /, **imports: object) -> LoggedRow:
    return RowReader(diary(**imports), COLUMNS, need="decision").read(row(**(cells or {})))


def rejected(cells: dict[str, str], **imports: object) -> RowError:
    with pytest.raises(RowError) as caught:
        read(cells, **imports)
    return caught.value


def test_a_good_row_becomes_values() -> None:
    got = read()
    assert (got.user, got.key) == ("ann", ("ann", "2024-05-31T16:30"))
    assert got.time == datetime(2024, 5, 31, 16, 30, tzinfo=UTC)
    assert got.state.tolist() == [0.5, 0.0, 0.25]
    assert got.available and got.intervened and not got.dropped_out
    assert got.choices == {"policy": LoggedChoice(1, 0.4, 0.4, True), "timing": LoggedChoice(0, 0.5, 0.5, True)}
    assert got.reward[0] == 1.5 and np.isnan(got.reward[1:]).all()
    assert got.harmful is False
    assert got.notes == ()


class TestFeatures:
    def test_numbers_are_clamped_to_their_bounds_and_counted(self) -> None:
        got = read({"mood": "3"})
        assert got.state[0] == 1.0 and got.notes == (("clamped", "mood"),)

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_a_state_is_always_inside_its_bounds(self, value: float) -> None:
        assert -1.0 <= read({"mood": repr(value)}).state[0] <= 1.0

    @pytest.mark.parametrize("cell", ["home", "HOME", " home "])
    def test_categories_are_found_whatever_their_case(self, cell: str) -> None:
        assert read({"place": cell}).state[1] == 0.0

    def test_categories_are_mapped(self) -> None:
        assert read({"place": "office"}).state[1] == 1.0

    def test_an_unknown_category_is_rejected(self) -> None:
        assert rejected({"place": "moon"}).reason == "unknown_category"

    @pytest.mark.parametrize("cell", ["", " ", "NA", "null", "None"])
    def test_a_missing_value_drops_the_row(self, cell: str) -> None:
        assert rejected({"mood": cell}).reason == "missing_value"
        assert rejected({"place": cell}).reason == "missing_value"

    def test_a_missing_value_is_filled_where_the_loop_says_so_and_counted(self) -> None:
        got = read({"mood": "", "place": ""}, missing={"mood": -0.25, "place": "work"})
        assert got.state.tolist() == [-0.25, 1.0, 0.25]
        assert got.notes == (("filled", "mood"), ("filled", "place"))

    def test_a_feature_without_a_filling_still_drops_the_row(self) -> None:
        assert rejected({"mood": ""}, missing={"place": "work"}).reason == "missing_value"

    def test_transforms_come_before_the_bounds(self) -> None:
        assert read({"mood": "1.5"}, transforms={"mood": "log(x + 0.5)"}).state[0] == pytest.approx(np.log(2.0))

    def test_a_transform_without_a_finite_value_counts_as_missing(self) -> None:
        assert rejected({"mood": "-3"}, transforms={"mood": "log(x)"}).reason == "missing_value"

    @pytest.mark.parametrize(
        ("cell", "reason"),
        [
            ("high", "not_a_number"),
            ("0,5", "not_a_number"),
            ("1_0", "not_a_number"),
            ("nan", "not_finite"),
            ("-inf", "not_finite"),
        ],
    )
    def test_what_is_no_finite_number_is_rejected(self, cell: str, reason: str) -> None:
        assert rejected({"mood": cell}).reason == reason


class TestChoices:
    @pytest.mark.parametrize(
        ("cell", "action"), [("speak", 1), ("Speak", 1), ("1", 1), ("1.0", 1), ("0", 0), ("wait", 0)]
    )
    def test_actions_go_by_name_or_by_the_loops_map(self, cell: str, action: int) -> None:
        assert read({"did": cell}).choices["policy"].action == action

    def test_an_unknown_action_is_rejected(self) -> None:
        assert rejected({"did": "shout"}).reason == "unknown_action"

    def test_a_missing_action_is_rejected(self) -> None:
        assert rejected({"did": ""}).reason == "missing_action"

    def test_other_heads_are_silent_when_policy_does_not_intervene(self) -> None:
        got = read({"did": "wait", "when": "whatever", "when_p": "x"})
        assert list(got.choices) == ["policy"] and not got.intervened

    def test_an_intervention_without_another_heads_action_is_kept_and_counted(self) -> None:
        got = read({"when": "", "when_p": ""})
        assert list(got.choices) == ["policy"] and got.notes == (("missing_action", "when"),)

    def test_without_a_propensity_column_the_logging_distribution_holds(self) -> None:
        got = read(heads={"policy": ImportHead("did")})
        assert got.choices["policy"] == LoggedChoice(1, 0.4, 0.4, True)

    @pytest.mark.parametrize(
        ("cell", "reason"),
        [
            ("", "missing_propensity"),
            ("0", "zero_propensity"),
            ("0.0", "zero_propensity"),
            ("-0.1", "bad_propensity"),
            ("1.01", "bad_propensity"),
            ("nan", "not_finite"),
            ("often", "not_a_number"),
        ],
    )
    def test_a_propensity_lies_above_0_and_up_to_1(self, cell: str, reason: str) -> None:
        assert rejected({"p": cell}).reason == reason

    def test_a_propensity_of_1_may_be_written_with_rounding(self) -> None:
        assert read({"p": "1.0000000001"}).choices["policy"].marginal == 1.0

    def test_the_files_propensity_is_marginal_and_the_explored_one_is_the_logging_distributions(self) -> None:
        assert read({"p": "0.25"}).choices["policy"] == LoggedChoice(1, 0.4, 0.25, True)

    def test_a_row_that_was_not_explored_keeps_the_files_propensity(self) -> None:
        assert read({"p": "0.25", "explored": "no"}).choices["policy"] == LoggedChoice(1, 0.25, 0.25, False)

    def test_without_an_explored_column_every_choice_was_randomised_as_logged(self) -> None:
        assert read({"p": "0.25"}, explored=None).choices["policy"] == LoggedChoice(1, 0.25, 0.25, True)

    def test_an_action_of_an_unavailable_person_is_ignored_and_counted(self) -> None:
        got = read({"free": "False", "p": ""})
        assert got.choices == {} and not got.available and not got.intervened
        assert got.notes == (("ignored_unavailable", "did"),)

    def test_waiting_while_unavailable_is_nothing_to_count(self) -> None:
        assert read({"free": "0", "did": "wait"}).notes == ()

    @pytest.mark.parametrize(("cell", "reason"), [("maybe", "not_a_flag"), ("", "missing_value")])
    def test_availability_is_true_or_false(self, cell: str, reason: str) -> None:
        assert rejected({"free": cell}).reason == reason


class TestOutcomes:
    @pytest.mark.parametrize(("cell", "harmful"), [("bad", True), ("NOT NOW ", True), ("liked", False), ("", None)])
    def test_labels(self, cell: str, harmful: bool | None) -> None:
        assert read({"answer": cell}).harmful is harmful

    def test_a_missing_reward_is_nan_and_no_reason_to_reject(self) -> None:
        assert np.isnan(read({"felt": ""}).reward).all()

    def test_a_reward_is_a_number(self) -> None:
        assert rejected({"felt": "fine"}).reason == "not_a_number"
        assert rejected({"felt": "inf"}).reason == "not_finite"

    def test_the_total_is_transformed(self) -> None:
        assert read(transforms={"reward": "log(x + 0.5)"}).reward[0] == pytest.approx(np.log(2.0))

    def test_a_total_is_composed_from_components_by_the_loops_weights(self) -> None:
        reward = read(reward={"sentiment": "felt", "engagement": "mood"}).reward
        assert reward[1:3].tolist() == [1.5, 0.5]
        assert reward[0] == pytest.approx(0.4 * 1.5 + 0.4 * 0.5)

    def test_components_are_composed_from_what_was_observed(self) -> None:
        reward = read({"felt": "0.75"}, reward={"sentiment_before": "mood", "sentiment_after": "felt"}).reward
        assert reward[1] == pytest.approx(0.25) and reward[0] == pytest.approx(0.4 * 0.25)

    def test_somebody_left(self) -> None:
        assert read({"gone": "yes"}).dropped_out


class TestKeysAndTimes:
    def test_a_row_is_somebodys(self) -> None:
        assert rejected({"who": " "}).reason == "missing_user"

    @pytest.mark.parametrize(
        ("cell", "reason"),
        [("", "missing_time"), ("soon", "bad_time"), ("2024-13-01", "bad_time"), ("0001-01-01", "bad_time")],
    )
    def test_what_is_no_time_is_rejected(self, cell: str, reason: str) -> None:
        assert rejected({"at": cell}).reason == reason


@given(st.dictionaries(st.sampled_from(COLUMNS), st.text(max_size=12), max_size=6))
def test_any_text_is_read_or_rejected_without_being_repeated(cells: dict[str, str]) -> None:
    secret = {c: f"zq{v}zq" for c, v in cells.items()}
    try:
        got = read(secret)
    except RowError as error:
        assert "zq" not in error.text
    else:
        assert np.isfinite(got.state).all()


class TestWhatTheCheckOfPropensitiesReads:
    @pytest.mark.parametrize(
        "cell", ["2024-05-31T16:30", "2024-05-31 16:30:00Z", "2024/5/31 16:30", "1717173000", "1717173000000"]
    )
    def test_a_day_is_even_or_odd_in_any_spelling(self, cell: str) -> None:
        reader = RowReader(diary(), COLUMNS, need="decision")
        is_even = datetime(2024, 5, 31).toordinal() % 2 == 0
        assert [reader.is_even_day(row(at=cell)) for _ in range(2)] == [is_even] * 2
        assert reader.is_even_day(row(at="2024-06-01T09:00")) != is_even

    @pytest.mark.parametrize("cell", ["", "soon", "2024-99-99T09:00"])
    def test_a_time_that_cannot_be_read_counts_as_odd(self, cell: str) -> None:
        assert not RowReader(diary(), COLUMNS, need="decision").is_even_day(row(at=cell))

    def test_regions_lie_along_the_features_that_the_file_holds(self) -> None:
        columns = [c for c in COLUMNS if c != "gap"]
        axes = RowReader(diary(), columns, need="decision").region_axes()
        assert [axis.words((0, 0)).split()[0] for axis in axes] == ["mood", "place"]
        assert axes[1].places([row(place="office")]).tolist() == [1]


class TestColumns:
    def test_absent_columns_are_named_with_what_they_may_be_called(self) -> None:
        columns = ["Mood" if c == "mood" else c for c in COLUMNS if c != "p"]
        with pytest.raises(InputError) as caught:
            RowReader(diary(), columns, need="decision")
        text = str(caught.value)
        assert "lacks the columns 'mood', 'p'" in text and f"it has {len(columns)} columns" in text
        assert "'mood' may be the file's 'Mood'" in text and "first line holds values" not in text

    def test_a_first_line_without_names_is_somebodys_row_and_is_not_shown(self) -> None:
        with pytest.raises(InputError) as caught:
            RowReader(diary(), ["bob@example.org", "2026-11-21T09:00", "0.555", "walk", "sad"], need="decision")
        text = str(caught.value)
        assert "its first line holds values, but it must name the columns" in text
        assert not [cell for cell in ("bob", "2026", "0.555", "walk", "sad") if cell in text]

    def test_a_doubled_column_is_refused_when_it_is_read(self) -> None:
        with pytest.raises(InputError, match="more than one column named 'mood'"):
            RowReader(diary(), [*COLUMNS, "mood"], need="decision")
        RowReader(diary(), [*COLUMNS, "remark", "remark"], need="decision")

    def test_columns_nobody_reads_may_be_there(self) -> None:
        RowReader(diary(), [*COLUMNS, "remark", ""], need="decision")


def placing(seen: list[RowMoment]) -> Callable[[RowMoment], np.ndarray]:
    """Notes every moment and answers .75."""

    def place(moment: RowMoment) -> np.ndarray:
        seen.append(moment)
        return np.array([0.75])

    return place


class TestComputedFeatures:
    absent = tuple(c for c in COLUMNS if c != "gap")

    def test_a_feature_with_known_dynamics_may_be_absent(self) -> None:
        assert RowReader(diary(), self.absent, need="decision").computed == (2,)
        assert RowReader(diary(), COLUMNS, need="decision").computed == ()

    def test_it_is_asked_of_the_caller_with_the_moment(self) -> None:
        seen: list[RowMoment] = []
        reader = RowReader(diary(), self.absent, need="decision")
        got = reader.read(row(), placing(seen))
        assert got.state[2] == 0.75
        assert seen == [RowMoment("ann", ("ann", "2024-05-31T16:30"), datetime(2024, 5, 31, 16, 30, tzinfo=UTC), True)]

    def test_a_rejected_row_was_a_decision_point_all_the_same(self) -> None:
        seen: list[RowMoment] = []
        reader = RowReader(diary(), self.absent, need="decision")
        with pytest.raises(RowError):
            reader.read(row(mood="?"), placing(seen))
        assert len(seen) == 1


class TestStates:
    def test_states_alone_are_enough_to_decide_on(self) -> None:
        got = RowReader(diary(), ["mood", "place", "gap"], need="state").read(
            {"mood": "0", "place": "work", "gap": "1"}
        )
        assert got.state.tolist() == [0.0, 1.0, 1.0]

    def test_a_lacking_feature_needs_person_time_and_action(self) -> None:
        with pytest.raises(InputError, match="without 'gap', the person, time and action columns are needed"):
            RowReader(diary(), ["mood", "place", "who"], need="state")
        assert RowReader(diary(), ["mood", "place", "who", "at", "did"], need="state").computed == (2,)

    def test_no_propensity_is_asked_for(self) -> None:
        reader = RowReader(diary(), ["mood", "place", "who", "at", "did"], need="state")
        cells = {"mood": "0", "place": "work", "who": "ann", "at": "2024-05-31", "did": "speak"}
        got = reader.read(cells, lambda m: np.array([0.5]))
        assert got.intervened and got.state.tolist() == [0.0, 1.0, 0.5]


class TestADecimalComma:
    cells = {"mood": "0,5", "gap": "0,25", "p": "0,4", "when_p": "0,5", "felt": "1,5", "did": "1,0", "free": "1,0"}

    def test_is_read_in_every_column_of_numbers(self) -> None:
        got = read(self.cells, decimal=",")
        assert (got.state.tolist(), got.reward[0]) == ([0.5, 0.0, 0.25], 1.5) and got.choices == read().choices

    def test_places_rows_in_the_same_regions(self) -> None:
        written = [{"mood": text, "place": "home", "gap": "0,25"} for text in ("-0,9", "0,5", "0.5", "")]
        mood = RowReader(diary(decimal=","), COLUMNS, need="decision").region_axes()[0]
        assert mood.places(written).tolist() == [2, 37, -1, -1]


def test_the_persons_time_zone_is_read_where_declared() -> None:
    reader = RowReader(diary(time_zone="zone"), (*COLUMNS, "zone"), need="decision")
    got = reader.read(row() | {"zone": "America/New_York"})
    assert got.time == datetime(2024, 5, 31, 20, 30, tzinfo=UTC) and got.time.date().isoformat() == "2024-05-31"
    with pytest.raises(InputError, match="lacks the column 'zone'"):
        RowReader(diary(time_zone="zone"), COLUMNS, need="decision")


def test_names_like_formulas_are_read_as_written_and_as_exported() -> None:
    """An export puts an apostrophe before them, so that a spreadsheet does not run them."""
    mapped = {"actions": {"policy": {"=1+1": "speak"}}, "categories": {"place": {"-2+3": "work"}}}
    for did, place in (("=1+1", "-2+3"), ("'=1+1", "'-2+3")):
        got = read({"did": did, "place": place}, **mapped)
        assert got.choices["policy"].action == 1 and got.state[1] == 1.0
