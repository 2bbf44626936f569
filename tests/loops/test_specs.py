"""The loop files that come with the project say what they should about the files that they read."""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loops.engine.parse.loop import parse_loop
from loops.engine.rows.cells import RowError
from loops.engine.rows.reader import LoggedRow, RowReader
from tests.factories.builtin_loops import builtin
from tests.factories.example_loop import EXAMPLE


class TestR3al:
    def test_features_heads_and_numbers_are_those_of_the_design(self) -> None:
        design, spec = parse_loop(EXAMPLE, source="example"), builtin("r3al")
        assert spec.features == design.features and spec.heads == design.heads
        assert replace(spec.availability, distress={}) == design.availability
        assert spec.reward.weights == design.reward.weights and spec.reward.scale == design.reward.scale

    def test_nothing_is_tried_on_anybody_who_feels_very_bad(self) -> None:
        assert builtin("r3al").availability.distress == {"mood": (-0.95, math.inf), "stress": (-math.inf, 0.98)}

    def test_what_was_last_heard_a_week_ago_is_no_longer_known(self) -> None:
        assert builtin("r3al").availability.memory_seconds == 7 * 86_400

    def test_everything_is_explored_until_something_learned_serves_but_not_for_ever(self) -> None:
        spec = builtin("r3al")
        assert (spec.exploration_before, spec.exploration, spec.logging_rounds) == (1.0, 0.1, 2)

    def test_the_nominal_number_of_people_follows_from_the_cohort(self) -> None:
        assert builtin("r3al").moments.nominal_users is None


@pytest.fixture(scope="module")
def trial(shared_data: Path) -> tuple[list[LoggedRow], Counter[str]]:
    """The trial's rows as the loop reads them, with what was noted or rejected, counted."""
    spec = builtin("heartsteps")
    rows, seen = [], Counter[str]()
    with (shared_data / "heartsteps_v1_suggestions.csv").open(newline="") as file:
        lines = csv.DictReader(file)
        reader = RowReader(spec, lines.fieldnames or (), need="decision")
        nothing = np.zeros(len(reader.computed))
        for line in lines:
            try:
                rows.append(reader.read(line, lambda moment: nothing))
            except RowError as error:
                seen[error.reason] += 1
            else:
                seen.update(f"{what} {column}" for what, column in rows[-1].notes)
    return rows, seen


class TestHeartSteps:
    """Numbers are those of the published file: 37 people, 8,274 rows, 6,590 available, 3,915 of them sent a suggestion."""

    def test_every_row_but_the_one_without_a_time_is_read(self, trial: tuple[list[LoggedRow], Counter[str]]) -> None:
        rows, seen = trial
        assert len(rows) == 8_273 and seen["missing_time"] == 1
        assert len({r.user for r in rows}) == 37 and len({r.key for r in rows}) == 8_273

    def test_only_available_rows_were_randomised_with_the_protocols_probability(
        self, trial: tuple[list[LoggedRow], Counter[str]]
    ) -> None:
        chosen = [r.choices["policy"] for r in trial[0] if r.available]
        assert len(chosen) == 6_590 and sum(c.action for c in chosen) == 3_915
        assert {(c.action, c.propensity) for c in chosen} == {(0, 0.4), (1, 0.6)}
        assert not any(r.choices for r in trial[0] if not r.available)

    def test_bad_and_snoozed_answers_are_false_interventions(self, trial: tuple[list[LoggedRow], Counter[str]]) -> None:
        assert sum(bool(r.harmful) for r in trial[0] if r.available) == 602

    def test_every_available_row_has_an_outcome_in_the_trials_units(
        self, trial: tuple[list[LoggedRow], Counter[str]]
    ) -> None:
        rewards = np.array([r.reward[0] for r in trial[0] if r.available])
        assert np.isfinite(rewards).all()
        assert rewards.min() == pytest.approx(np.log(0.5)) and rewards.max() == pytest.approx(np.log(5_527.5))
        assert trial[1]["filled jbsteps30"] == 789

    def test_states_lie_within_the_bounds_and_nothing_is_clamped(
        self, trial: tuple[list[LoggedRow], Counter[str]]
    ) -> None:
        rows, seen = trial
        states = np.stack([r.state for r in rows])
        for i, f in enumerate(builtin("heartsteps").features):
            low, high = f.bounds or (0, len(f.categories) - 1)
            assert low <= states[:, i].min() and states[:, i].max() <= high
        assert not [what for what in seen if what.startswith("clamped")]

    def test_a_sentinel_temperature_is_a_missing_one(self, trial: tuple[list[LoggedRow], Counter[str]]) -> None:
        spec = builtin("heartsteps")
        place = spec.feature_names.index("temperature")
        assert min(r.state[place] for r in trial[0]) > -20.0
