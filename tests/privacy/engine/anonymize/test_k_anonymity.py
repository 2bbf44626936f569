"""Every box holds k different people and so many sensitive values, whatever the table looks like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.arrays import Floats, Ints
from core.errors import InputError
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.k_anonymity import Partition, mondrian

COLUMNS = (Column("age", 0.0, 100.0), Column("place", 0.0, 3.0, ("a", "b", "c", "d")))


@st.composite
def tables(draw: st.DrawFn) -> tuple[Floats, Ints, Ints, int, int]:
    """Records, users with one to some rows each, a sensitive column, k and l that can be met."""
    people = draw(st.integers(2, 40))
    owners = draw(st.lists(st.integers(0, people - 1), min_size=people, max_size=120)) + list(range(people))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n = len(owners)
    ages = rng.integers(0, draw(st.sampled_from([1, 3, 101])), n).astype(float)
    values = np.column_stack([ages, rng.integers(0, 4, n).astype(float)])
    sensitive = rng.integers(0, 5, n)
    k = draw(st.integers(2, people))
    diversity = draw(st.integers(1, len(np.unique(sensitive))))
    return values, np.array(owners), sensitive, k, diversity


@settings(max_examples=150, deadline=None)
@given(tables())
def test_every_box_keeps_its_promise(table: tuple[Floats, Ints, Ints, int, int]) -> None:
    values, users, sensitive, k, diversity = table
    made = mondrian(values, columns=COLUMNS, users=users, k=k, sensitive=sensitive, diversity=diversity)
    counts, kinds = [], []
    for box in np.unique(made.classes):
        rows = made.classes == box
        counts.append(len(np.unique(users[rows])))
        kinds.append(len(np.unique(sensitive[rows])))
        assert len(np.unique(made.low[rows], axis=0)) == len(np.unique(made.high[rows], axis=0)) == 1
    assert min(counts) == made.smallest >= k and min(kinds) == made.diversity and min(kinds) >= diversity
    assert ((made.low <= values) & (values <= made.high)).all(), "a record lies in its box; none is left out"
    width = np.array([100.0, 3.0])
    assert made.loss == pytest.approx(((made.high - made.low) / width).mean()) and 0 <= made.loss <= 1


def part(values: list[list[float]], users: list[int], k: int) -> Partition:
    return mondrian(np.array(values), columns=COLUMNS, users=np.array(users), k=k)


def test_the_same_table_gives_the_same_boxes() -> None:
    rng = np.random.default_rng(3)
    values = np.column_stack([rng.integers(0, 101, 500), rng.integers(0, 4, 500)]).astype(float)
    one, two = (mondrian(values, columns=COLUMNS, users=np.arange(500), k=5) for _ in range(2))
    assert (one.low == two.low).all() and (one.classes == two.classes).all()


def test_many_rows_of_one_person_are_one_person() -> None:
    made = part([[1, 0], [2, 0], [3, 0], [90, 0], [91, 0], [92, 0]], [0, 0, 0, 0, 1, 2], 2)
    assert made.smallest >= 2 and len(set(made.classes[:3].tolist())) == 1
    assert len(set(made.classes.tolist())) == 1, "the three on the left are one person's and cannot stand alone"


def test_two_crowds_are_told_apart() -> None:
    made = part([[1, 0], [2, 0], [90, 0], [92, 0]], [0, 1, 2, 3], 2)
    assert made.low[:, 0].tolist() == [1, 1, 90, 90] and made.high[:, 0].tolist() == [2, 2, 92, 92]


@pytest.mark.parametrize(
    ("values", "users", "k", "said"),
    [
        ([[1, 0], [2, 0]], [0, 1], 1, "k is 1"),
        ([[1, 0], [2, 0]], [0, 1], 3, "there are fewer"),
        ([[1, 0], [2, 0]], [0, 0], 2, "there are fewer"),
        ([[1, 0], [np.nan, 0]], [0, 1], 2, "not finite"),
        ([[1, 0], [2, 0]], [0], 2, "pass one"),
    ],
)
def test_what_cannot_be_is_refused(values: list[list[float]], users: list[int], k: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        part(values, users, k)


def test_more_diversity_than_there_is_is_refused() -> None:
    with pytest.raises(InputError, match="different sensitive"):
        mondrian(
            np.zeros((4, 2)), columns=COLUMNS, users=np.arange(4), k=2, sensitive=np.array([0, 1, 0, 1]), diversity=3
        )
