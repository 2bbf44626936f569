"""Open the states and rewards of stored decisions, inside the trust boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from core.arrays import Floats
from loops.engine.rows.outcomes import NO_REWARD
from loops.engine.spec import LoopSpec
from privacy.engine.outcomes import outcomes_bounded
from privacy.engine.sealing import Cipher, about_outcome, about_state
from privacy.selectors.keys import payload_opened

SEALED = ("decision__person_id", "decision__row_key", "decision__state", "decision__outcome__payload")
_NONE = NO_REWARD.tobytes()


class SealedDecision(NamedTuple):
    """Hold the columns ``SEALED`` of one choice. ``outcome`` is None if it may not be used, or is not there."""

    person: int
    row_key: bytes
    state: bytes
    outcome: bytes | None


def decisions_opened(
    spec: LoopSpec, rows: Sequence[SealedDecision], keys: Mapping[int, Cipher]
) -> tuple[Floats, Floats]:
    """Return the states (n, F) and the rewards (n,) of decisions, NaN for what is missing or cannot be opened."""
    width = len(spec.features)
    states, outcomes = np.empty((len(rows), width)), np.empty((len(rows), len(NO_REWARD)))
    unknown = np.full(width, np.nan).tobytes()
    for i, (person, key, state, outcome) in enumerate(rows):
        cipher, row_key = keys[person], bytes(key)
        states[i] = np.frombuffer(payload_opened(cipher, state, about_state(person, row_key), unknown), dtype="<f8")
        opened = _NONE if outcome is None else payload_opened(cipher, outcome, about_outcome(person, row_key), _NONE)
        outcomes[i] = np.frombuffer(opened, dtype="<f8")
    return states, np.asarray(outcomes_bounded(spec, outcomes)[:, 0])
