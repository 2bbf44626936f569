"""Convert between synthetic transitions and rows of the training pool.

The pool has one row for each (state, action) pair, with the actions of a state one after another. A trainer regroups the rows
by their order alone, so a wrong order would silently corrupt training. ``of_rows`` therefore checks the order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Floats
from core.errors import InputError
from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import LoopSpec
from loops.engine.state.dynamics import advance_known

Chunk = dict[str, np.ndarray]
COLUMNS = ("state", "action", "reward", "stays", "next_state")  # of a pool row


@dataclass(frozen=True)
class Transitions:
    """Hold the outcomes of every action from each of n model states.

    state (n, F). reward (n, K), in reward scales. next_state (n, K, F). stays (n, K): probability that the person does not leave.
    """

    state: Floats
    reward: Floats
    next_state: Floats
    stays: Floats

    def rows(self) -> Chunk:
        """Return the pool's columns, with one row for each (state, action) pair. Actions vary fastest."""
        n, k = self.reward.shape
        return {
            "state": np.repeat(self.state, k, axis=0),
            "action": np.tile(np.arange(k, dtype=np.int64), n),
            "reward": self.reward.reshape(-1),
            "stays": self.stays.reshape(-1),
            "next_state": self.next_state.reshape(n * k, -1),
        }

    def chunks(self, longest: int) -> Iterator[Chunk]:
        """Yield the rows in order, in chunks of at most ``longest``."""
        rows = self.rows()
        for first in range(0, len(rows["action"]), longest):
            yield {name: values[first : first + longest] for name, values in rows.items()}

    @classmethod
    def of_rows(cls, rows: Mapping[str, np.ndarray], spec: LoopSpec) -> Transitions:
        """Rebuild transitions from the pool's columns.

        Raises: InputError for rows out of order, and for next states that contradict the known dynamics.
        """
        head = spec.head(MAIN_HEAD)
        k = len(head.actions)
        _check_order(rows, k)
        _check_next_states(rows, spec, head.reference_index)
        return cls(
            state=rows["state"][::k],
            reward=rows["reward"].reshape(-1, k),
            next_state=rows["next_state"].reshape(-1, k, rows["next_state"].shape[1]),
            stays=rows["stays"].reshape(-1, k),
        )


def _check_order(rows: Mapping[str, np.ndarray], actions: int) -> None:
    """Check that each state's rows are adjacent, with actions 0 to K - 1 in order."""
    action, state = rows["action"], rows["state"]
    lengths = {name: len(rows[name]) for name in COLUMNS}
    if not len(action) or len(action) % actions or len(set(lengths.values())) > 1:
        raise InputError(
            f"the pool's rows {lengths} are not whole states of {actions} actions each; synthesize them again"
        )
    blocks = state.reshape(-1, actions, state.shape[1])
    wrong = (action.reshape(-1, actions) != np.arange(actions)) | (blocks != blocks[:, :1]).any(axis=2)
    _refuse(wrong.reshape(-1), "is not at the position of its state and action, so the rows are out of order")


def _check_next_states(rows: Mapping[str, np.ndarray], spec: LoopSpec, reference: int) -> None:
    """Check that features with known dynamics (``loops.engine.state.dynamics``) follow from the row's state and action."""
    known = [i for i, f in enumerate(spec.features) if f.dynamics not in ("learned", "drift")]
    expected = advance_known(spec, rows["state"], rows["action"] != reference)
    wrong = ~np.isclose(rows["next_state"][:, known], expected[:, known]).all(axis=1)
    _refuse(wrong, "has a next state that does not follow from its state and action")


def _refuse(wrong: np.ndarray, problem: str) -> None:
    if wrong.any():
        raise InputError(f"row {int(wrong.argmax())} of the pool {problem}; synthesize the rows again")
