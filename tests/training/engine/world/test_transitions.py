"""Rows of the pool come back as the transitions they were made of, or not at all: another order would be learned from unseen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from loops.engine.spec import Feature
from loops.engine.state.dynamics import advance_known
from tests.factories.loops import of_features, states_of
from training.engine.world.transitions import COLUMNS, Chunk, Transitions

SPEC = of_features(
    Feature("mood", "learned", bounds=(-1.0, 1.0), scale=0.2),
    Feature("gap", "since_intervention", bounds=(0.0, 1.0), step=0.25),
    Feature("daypart", "clock", categories=("morning", "evening")),
)
HEAD = SPEC.head("policy")
STATES, ACTIONS = 4, len(HEAD.actions)
ROWS = STATES * ACTIONS


def made() -> Transitions:
    """Transitions whose learned feature moves at random and whose others move as is known."""
    rng, states = np.random.default_rng(1), states_of(SPEC, STATES)
    after = [advance_known(SPEC, states, np.full(STATES, k != HEAD.reference_index)) for k in range(ACTIONS)]
    following = np.stack(after, axis=1)
    following[:, :, 0] = rng.uniform(-1, 1, size=(STATES, ACTIONS))
    shape = (STATES, ACTIONS)
    return Transitions(states, rng.normal(size=shape), following, rng.uniform(0.5, 1.0, size=shape))


def rows(change: Callable[[Chunk], Chunk] = lambda rows: rows) -> Chunk:
    return change(made().rows())


def test_the_rows_come_back_as_they_were() -> None:
    again = Transitions.of_rows(rows(), SPEC)
    for name in ("state", "reward", "next_state", "stays"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made(), name))


@pytest.mark.parametrize("longest", [1, 2, 3, ROWS, 100])
def test_chunks_put_together_are_the_rows(longest: int) -> None:
    chunks = list(made().chunks(longest))
    assert {len(c["action"]) for c in chunks[:-1]} <= {longest} and len(chunks) == -(-ROWS // longest)
    for name, values in rows().items():
        np.testing.assert_array_equal(np.concatenate([chunk[name] for chunk in chunks]), values)


@given(st.permutations(range(ROWS)))
def test_shuffled_rows_are_refused_unless_whole_states_changed_places(order: list[int]) -> None:
    blocks = np.array(order).reshape(STATES, ACTIONS)
    whole = (blocks == blocks[:, :1] + np.arange(ACTIONS)).all() and (blocks[:, 0] % ACTIONS == 0).all()
    shuffled = rows(lambda rows: {name: values[order] for name, values in rows.items()})
    if whole:
        np.testing.assert_array_equal(Transitions.of_rows(shuffled, SPEC).state, made().state[blocks[:, 0] // ACTIONS])
    else:
        with pytest.raises(InputError, match=r"row \d+ of the pool .* synthesize the rows again"):
            Transitions.of_rows(shuffled, SPEC)


@given(st.permutations(range(STATES)))
def test_states_that_change_places_stay_whole(order: list[int]) -> None:
    places = (np.array(order)[:, None] * ACTIONS + np.arange(ACTIONS)).reshape(-1)
    moved = Transitions.of_rows(rows(lambda rows: {n: v[places] for n, v in rows.items()}), SPEC)
    np.testing.assert_array_equal(moved.next_state, made().next_state[order])


@given(st.integers(0, ROWS - 1), st.sampled_from([1, 2]), st.floats(0.01, 1.0))
def test_a_next_state_that_does_not_follow_is_refused(row: int, feature: int, off: float) -> None:
    broken = rows()
    broken["next_state"][row, feature] += off
    with pytest.raises(InputError, match=f"row {row} of the pool has a next state that does not follow"):
        Transitions.of_rows(broken, SPEC)


def test_next_states_of_another_order_are_refused() -> None:
    with pytest.raises(InputError, match="has a next state that does not follow"):
        Transitions.of_rows(rows(lambda rows: rows | {"next_state": rows["next_state"][::-1]}), SPEC)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_that_is_shorter_is_refused(column: str) -> None:
    with pytest.raises(InputError, match="are not whole states"):
        Transitions.of_rows(rows(lambda rows: rows | {column: rows[column][:-1]}), SPEC)


@pytest.mark.parametrize("left", [0, 1, ROWS - 1])
def test_rows_that_are_not_whole_states_are_refused(left: int) -> None:
    with pytest.raises(InputError, match="are not whole states"):
        Transitions.of_rows(rows(lambda rows: {name: values[:left] for name, values in rows.items()}), SPEC)
