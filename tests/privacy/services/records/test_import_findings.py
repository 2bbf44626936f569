"""What is shown of a check is rounded, and holds no number for a few people."""

from __future__ import annotations

from loops.engine.rows.assignment_check import AssignmentMean
from loops.engine.rows.region_check import RegionMean
from loops.engine.rows.spread_check import PeopleSpread
from privacy.services.records.import_findings import (
    mean_shown,
    mean_words,
    region_shown,
    region_words,
    spread_shown,
    spread_words,
)

MANY = AssignmentMean("policy", "speak", "logged", 4_321, 1_234, 0.4123, 0.9876, 0.9432, 1.0442, "agrees")
FEW = AssignmentMean("policy", "speak", "explored", 90, 9, 0.4123, 1.4567, 1.2345, 1.6, "refuted")
UNCHECKED = AssignmentMean("policy", "speak", "logged", 900, 30, 0.4123, 1.4567, None, None, "too few people")


def test_many_people_are_shown_in_two_digits() -> None:
    numbers = {"people": 1_200, "mean": 0.99, "low": 0.94, "high": 1.0}
    assert mean_shown(MANY) == {"head": "policy", "action": "speak", "among": "logged", "finding": "agrees"} | numbers
    assert mean_words(MANY) == "policy: the mean of 1/propensity where speak was taken is 0.99 [0.94, 1.0]"


def test_a_few_people_leave_the_finding() -> None:
    assert mean_shown(FEW) == {"head": "policy", "action": "speak", "among": "explored", "finding": "refuted"}
    assert mean_words(FEW) == "policy: the propensities of speak do not fit its actions over explored rows"


def test_a_mean_without_an_interval_is_not_shown() -> None:
    assert mean_shown(UNCHECKED) == {
        "head": "policy", "action": "speak", "among": "logged", "finding": "too few people", "people": 30
    }  # fmt: skip


def region(finding: str, mean: float = 0.1234, high: float = 0.5678) -> RegionMean:
    return RegionMean("policy", "speak", "logged", "need is 0.9 to 1", 1_234, 567.8, mean, 0.0, high, finding)  # type: ignore[arg-type]


def test_a_region_is_shown_in_two_digits() -> None:
    there = "while need is 0.9 to 1 (about 1,200 rows)"
    assert region_words(region("never logged")) == (
        f"policy: speak was never logged {there}, where its propensities expect 570"
    )
    assert region_words(region("refuted")) == (
        f"policy: the mean of 1/propensity where speak was taken is 0.12 [0.0, 0.57] {there}"
    )
    shown = {"head": "policy", "action": "speak", "among": "logged", "region": "need is 0.9 to 1", "finding": "refuted"}
    assert region_shown(region("refuted")) == shown | {"mean": 0.12, "low": 0.0, "high": 0.57}


def test_a_region_where_an_action_was_impossible_has_no_number_of_rows() -> None:
    assert region_words(region("impossible")) == (
        "policy: speak was impossible while need is 0.9 to 1, so this file holds no evidence about it there"
    )
    assert "mean" not in region_shown(region("impossible"))


def test_a_spread_is_shown_without_a_number_for_a_few_people() -> None:
    many, few = (PeopleSpread("policy", "speak", "logged", n, 0.6123, "refuted") for n in (40, 9))
    assert "by a standard deviation of 0.61 (right ones give 0, at most 0.3)" in spread_words(many)
    assert spread_words(few) == "policy: the propensities of speak do not hold for each person"
    assert spread_shown(many)["spread"] == 0.61 and "spread" not in spread_shown(few)
