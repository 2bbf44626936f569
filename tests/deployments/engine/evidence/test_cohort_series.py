"""Who counts in which bet: each person once, with what is known of them since the bet began."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deployments.engine.evidence.cohort_series import CohortSeries


def series(weeks: list[dict[int, float]], *, first: int = 1, closed: int = 0) -> CohortSeries:
    """What each person gave in each week."""
    people = [person for week in weeks for person in week]
    values = [value for week in weeks for value in week.values()]
    starts = tuple(sum(map(len, weeks[:i])) for i in range(len(weeks)))
    return CohortSeries(np.array(values), np.array(people, dtype=np.int64), starts, first, closed)


WEEKS = [{1: 0.1, 2: 0.2}, {1: 0.3, 3: 0.4}, {}, {2: 0.5, 1: 0.7, 4: 0.6}]


def test_a_person_enters_a_bet_once_with_their_first_value_since_it_began() -> None:
    weeks, spans = series(WEEKS).families
    assert [sample.values.tolist() for sample in weeks] == [
        [0.1, 0.2, 0.4, 0.6],
        [0.3, 0.4, 0.5, 0.6],
        [0.5, 0.7, 0.6],
        [0.5, 0.7, 0.6],
    ]
    assert [sample.starts for sample in weeks] == [(0, 2, 3, 3), (0, 2, 2), (0, 0), (0,)]
    assert not spans  # no span is closed yet


def test_in_a_closed_span_a_person_counts_with_their_mean() -> None:
    weeks, spans = series([*WEEKS, {5: 0.9}], closed=4).families
    assert len(weeks) == 5 and len(spans) == 1
    assert spans[0].values == pytest.approx([(0.1 + 0.3 + 0.7) / 3, (0.2 + 0.5) / 2, 0.4, 0.6])
    assert spans[0].starts == (0, 2, 3, 3)


def test_a_span_that_may_still_get_values_is_no_sample() -> None:
    assert not series(WEEKS, closed=3).families[1]


def test_a_later_span_takes_new_people_into_the_bet_of_an_earlier_one() -> None:
    spans = series([{1: 0.0}, {}, {}, {1: 1.0}, {2: 0.2}, {1: 0.3}, {}, {}], closed=8).families[1]
    assert [s.values.tolist() for s in spans] == [[0.5, 0.2], [0.2, 0.3]]


def test_weights_of_all_bets_that_ever_begin_sum_to_one() -> None:
    """The first 400 weeks and their hundred spans; of the steps of 1 / (1 + ln k) the rest is known."""
    weeks, spans = series([{}] * 400, closed=400).families
    assert weeks[0].weight == pytest.approx(0.75)
    total = sum(s.weight for s in weeks) + sum(s.weight for s in spans)
    assert total + 0.125 / (1 + math.log(400)) + 0.125 / (1 + math.log(101)) == pytest.approx(1.0)


def test_where_older_epochs_are_left_out_every_bet_keeps_its_weight() -> None:
    whole = series([{1: 0.5}] * 12, closed=10)
    cut = series([{1: 0.5}] * 8, first=5, closed=6)
    assert [s.log_weight for s in cut.families[0]] == [s.log_weight for s in whole.families[0]][4:]
    assert [s.log_weight for s in cut.families[1]] == [s.log_weight for s in whole.families[1]][1:]


def test_people_are_counted_and_averaged_once() -> None:
    """Persons of means (.1 + .3 + .7) / 3, .35, .4 and .6."""
    found = series(WEEKS)
    assert found.size == 4 and found.mean == pytest.approx((1.1 / 3 + 0.35 + 0.4 + 0.6) / 4)
    assert series([]).size == 0 and series([]).mean is None
    assert found.epochs(1).size == 4 and found.epochs(0, 1).mean == pytest.approx(0.15)


def test_units_that_never_come_again_are_their_own() -> None:
    minutes = CohortSeries(np.array([0.1, 0.2, 0.3]), starts=(0, 2))
    assert [s.values.tolist() for s in minutes.samples] == [[0.1, 0.2, 0.3], [0.3]] and minutes.size == 3
