from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from loops.engine.spec import Feature
from loops.engine.state.history import StateHistory
from tests.factories.diary import diary

NOON = datetime(2024, 5, 31, 12, tzinfo=UTC)
SPEC = replace(
    diary(),
    features=(
        Feature("mood", "learned", bounds=(-1.0, 1.0), scale=0.2),
        Feature("gap", "since_intervention", bounds=(0.0, 1.0), step=0.25),
        Feature("load", "recent_load", bounds=(0.0, 1.0), decay=0.5),
        Feature("part", "clock", categories=("morning", "evening")),
        Feature("round", "clock", categories=("a", "b", "c")),
    ),
)
KNOWN = (1, 2, 3, 4)


def walk(timeline: StateHistory, *points: tuple[int, bool]) -> list[list[float]]:
    return [timeline.step(NOON + timedelta(days=day), intervened).tolist() for day, intervened in points]


def test_somebody_new_was_never_spoken_to() -> None:
    assert walk(StateHistory(SPEC, KNOWN), (0, False)) == [[1.0, 0.0, 0.0, 0.0]]


def test_an_intervention_shows_at_the_next_point() -> None:
    got = walk(StateHistory(SPEC, KNOWN), (0, True), (0, True), (0, False), (0, False))
    assert [g[0] for g in got] == [1.0, 0.0, 0.0, 0.25]
    assert [g[1] for g in got] == [0.0, 0.5, 0.75, 0.375]


def test_a_clock_of_a_day_begins_again_with_the_day_and_another_goes_on() -> None:
    got = walk(StateHistory(SPEC, KNOWN), (0, False), (1, False), (1, False), (2, False))
    assert [g[2] for g in got] == [0.0, 0.0, 1.0, 0.0]
    assert [g[3] for g in got] == [0.0, 1.0, 2.0, 0.0]


def test_a_new_person_begins_anew() -> None:
    timeline = StateHistory(SPEC, KNOWN)
    first = walk(timeline, (0, True), (0, True))
    timeline.begin()
    assert walk(timeline, (0, True), (0, True)) == first


def test_resuming_is_going_on() -> None:
    points = [(0, True), (0, False), (1, True), (1, False), (2, False)]
    whole = walk(StateHistory(SPEC, KNOWN), *points)
    rest = StateHistory(SPEC, KNOWN)
    rest.resume(np.array([0.3, *whole[2]]), True, NOON.date() + timedelta(days=1))
    assert walk(rest, *points[3:]) == whole[3:]
