"""Synthetic transitions: every action from each of n model states, and the pool's rows that they become.

The pool keeps a row a (state, action) pair, the actions of a state one after another. A trainer takes the rows apart again by
their order alone, so rows in another order would be learned from without any error. ``of_rows`` therefore checks the order.
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
    """Every action from each of n model states.

    state (n, F); reward (n, K) in reward scales; next_state (n, K, F); stays (n, K) probability of going on.
    """

    state: Floats
    reward: Floats
    next_state: Floats
    stays: Floats

    def rows(self) -> Chunk:
        """One row a (state, action) pair, actions running fastest: the columns of the pool."""
        n, k = self.reward.shape
        return {
            "state": np.repeat(self.state, k, axis=0),
            "action": np.tile(np.arange(k, dtype=np.int64), n),
            "reward": self.reward.reshape(-1),
            "stays": self.stays.reshape(-1),
            "next_state": self.next_state.reshape(n * k, -1),
        }

    def chunks(self, longest: int) -> Iterator[Chunk]:
        """Yield the rows in order, at most ``longest`` a chunk."""
        rows = self.rows()
        for first in range(0, len(rows["action"]), longest):
            yield {name: values[first : first + longest] for name, values in rows.items()}

    @classmethod
    def of_rows(cls, rows: Mapping[str, np.ndarray], spec: LoopSpec) -> Transitions:
        """Inverse of ``rows``. Raises InputError for rows of another order, or whose next state does not follow."""
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
    """Each state's rows stand together, its actions 0 to K - 1 in order."""
    action, state = rows["action"], rows["state"]
    lengths = {name: len(rows[name]) for name in COLUMNS}
    if not len(action) or len(action) % actions or len(set(lengths.values())) > 1:
        raise InputError(
            f"the pool's rows {lengths} are not whole states of {actions} actions each; synthesize them again"
        )
    blocks = state.reshape(-1, actions, state.shape[1])
    strange = (action.reshape(-1, actions) != np.arange(actions)) | (blocks != blocks[:, :1]).any(axis=2)
    _refuse(strange.reshape(-1), "is not where its state and action belong: the rows are out of order")


def _check_next_states(rows: Mapping[str, np.ndarray], spec: LoopSpec, reference: int) -> None:
    """What is known of the next state (loops.engine.state.dynamics) follows from the row's own state and action."""
    known = [i for i, f in enumerate(spec.features) if f.dynamics not in ("learned", "drift")]
    follows = advance_known(spec, rows["state"], rows["action"] != reference)
    strange = ~np.isclose(rows["next_state"][:, known], follows[:, known]).all(axis=1)
    _refuse(strange, "has a next state that does not follow from its state and action")


def _refuse(strange: np.ndarray, said: str) -> None:
    if strange.any():
        raise InputError(f"row {int(strange.argmax())} of the pool {said}; synthesize the rows again")
