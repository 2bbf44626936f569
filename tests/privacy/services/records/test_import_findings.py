"""What is shown of a check is rounded, and holds no number for a few people."""

from __future__ import annotations

from loops.engine.rows.assignment_check import AssignmentMean
from privacy.services.records.import_findings import mean_shown, mean_words

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
