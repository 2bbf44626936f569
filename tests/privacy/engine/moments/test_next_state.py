from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loops.engine.spec import NextState
from privacy.engine.moments.next_state import next_rows

RULES = get_args(NextState)
#           ann: two days, unavailable in between       ben leaves at his second row
PERSON = np.array([1, 1, 1, 1, 1, 2, 2, 2])
DAY = np.array([1, 1, 1, 2, 2, 1, 1, 1])
AVAILABLE = np.array([1, 0, 1, 0, 1, 1, 1, 1], dtype=bool)
LEFT = np.array([0, 0, 0, 0, 0, 0, 1, 0], dtype=bool)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("next_row", [1, 2, 3, 4, -1, 6, -1, -1]),
        ("next_row_same_day", [1, 2, -1, 4, -1, 6, -1, -1]),
        ("next_available", [2, 2, 4, 4, -1, 6, -1, -1]),
        ("next_available_same_day", [2, 2, -1, 4, -1, 6, -1, -1]),
    ],
)
def test_the_four_rules(rule: NextState, expected: list[int]) -> None:
    assert next_rows(rule, person=PERSON, day=DAY, available=AVAILABLE, dropped_out=LEFT).tolist() == expected


@pytest.mark.parametrize("rule", RULES)
def test_no_rows_have_no_next(rule: NextState) -> None:
    none = np.zeros(0, dtype=np.int64)
    assert next_rows(rule, person=none, day=none, available=none.astype(bool), dropped_out=none.astype(bool)).size == 0


@given(
    st.sampled_from(RULES),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans(), st.booleans()), max_size=30),
)
def test_it_is_the_first_later_row_that_the_rule_allows(
    rule: NextState, rows: list[tuple[int, int, bool, bool]]
) -> None:
    rows = sorted(rows, key=lambda r: r[:2])
    expected = [_slowly(rule, rows, i) for i in range(len(rows))]
    person, day = (np.array([r[k] for r in rows], dtype=np.int64) for k in (0, 1))
    available, left = (np.array([r[k] for r in rows], dtype=np.bool_) for k in (2, 3))
    assert next_rows(rule, person=person, day=day, available=available, dropped_out=left).tolist() == expected


def _slowly(rule: NextState, rows: list[tuple[int, int, bool, bool]], i: int) -> int:
    person, day, _, left = rows[i]
    for j in range(i + 1, len(rows)):
        if rows[j][0] != person or left:
            return -1
        if rule.startswith("next_available") and not rows[j][2]:
            continue
        return -1 if rule.endswith("same_day") and rows[j][1] != day else j
    return -1
