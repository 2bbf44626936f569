"""Who may not be spoken to, and why: the first reason counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from math import nan
from typing import Any

import pytest

from loops.engine.availability import Moment, in_distress, unavailable
from loops.engine.spec import Availability, Feature, LoopSpec
from tests.factories.loops import of_features

NOON = datetime.fromisoformat("2025-06-01T12:00:00+02:00")
MOOD = Feature("mood", "learned", bounds=(-1.0, 1.0), scale=0.2)
STRESS = Feature("stress", "learned", bounds=(0.0, 1.0), scale=0.1)


def spec(**rules: Any) -> LoopSpec:
    return replace(of_features(MOOD, STRESS), availability=Availability(**rules))


def reason(
    rules: LoopSpec, *state: float, hour: str = "12:00", today: int = 0, since: float | None = None
) -> str | None:
    local = datetime.fromisoformat(f"2025-06-01T{hour}+02:00")
    ago = None if since is None else timedelta(seconds=since)
    return unavailable(rules, Moment(local, today, ago), state or (0.0, 0.0))


@pytest.mark.parametrize(
    ("begin", "end", "hour", "quiet"),
    [
        ("22:30", "07:00", "22:29:59", False),
        ("22:30", "07:00", "22:30", True),
        ("22:30", "07:00", "00:00", True),
        ("22:30", "07:00", "06:59:59", True),
        ("22:30", "07:00", "07:00", False),
        ("13:00", "15:00", "12:59", False),
        ("13:00", "15:00", "13:00", True),
        ("13:00", "15:00", "15:00", False),
    ],
)
def test_quiet_hours_are_the_persons_and_may_go_over_midnight(begin: str, end: str, hour: str, quiet: bool) -> None:
    assert reason(spec(quiet_hours=(begin, end)), hour=hour) == ("quiet_hours" if quiet else None)


@pytest.mark.parametrize(("since", "said"), [(None, None), (0.0, "cooldown"), (59.9, "cooldown"), (60.0, None)])
def test_a_cool_down_lasts_from_the_last_intervention(since: float | None, said: str | None) -> None:
    assert reason(spec(cooldown_seconds=60), since=since) == said


@pytest.mark.parametrize(
    ("ahead", "since"), [(timedelta(seconds=30), timedelta()), (timedelta(hours=25), None)], ids=["a little", "far"]
)
def test_a_last_intervention_far_in_the_future_counts_as_none(ahead: timedelta, since: timedelta | None) -> None:
    """It was stored before the clock was set back, and a cool-down would last until its time has come."""
    assert Moment.of(NOON, 0, NOON + ahead, NOON).since_intervention == since


def test_without_a_cool_down_somebody_may_be_spoken_to_at_once() -> None:
    assert reason(spec(), since=0.0) is None


@pytest.mark.parametrize(("today", "said"), [(0, None), (2, None), (3, "daily_cap"), (4, "daily_cap")])
def test_a_daily_cap_is_how_often_it_may_be(today: int, said: str | None) -> None:
    assert reason(spec(daily_cap=3), today=today) == said


@pytest.mark.parametrize(
    ("mood", "stress", "distress"),
    [
        (-0.9, 0.0, True),
        (-0.89, 0.0, False),
        (0.0, 0.98, True),
        (0.0, 0.97, False),
        (nan, 0.99, True),
        (nan, 0.5, False),
    ],
)
def test_distress_is_at_or_beyond_an_end_of_what_is_known(mood: float, stress: float, distress: bool) -> None:
    inf = float("inf")
    rules = spec(distress={"mood": (-0.9, inf), "stress": (-inf, 0.98)})
    assert in_distress(rules, (mood, stress)) is distress


def test_an_unknown_value_is_no_data() -> None:
    assert reason(spec(), nan, 0.5) == "no_data"
    assert reason(spec(), 0.0, 0.5) is None


def test_the_first_reason_counts() -> None:
    inf = float("inf")
    rules = spec(
        quiet_hours=("11:00", "13:00"), cooldown_seconds=60, daily_cap=1, distress={"mood": (-0.9, inf)}
    )  # fmt: skip
    everything: dict[str, Any] = {"today": 1, "since": 1.0}
    assert reason(rules, -1.0, nan, **everything) == "quiet_hours"
    assert reason(rules, -1.0, nan, hour="14:00", **everything) == "cooldown"
    assert reason(rules, -1.0, nan, hour="14:00", today=1) == "daily_cap"
    assert reason(rules, -1.0, nan, hour="14:00") == "distress"
    assert reason(rules, 0.0, nan, hour="14:00") == "no_data"
