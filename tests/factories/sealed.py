"""What tests store of people directly, sealed as the platform seals it; and opened again, to compare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privacy.engine.sealing import about_outcome, about_serving_state, about_state
from privacy.engine.serving_state import unpack_serving_state
from privacy.models import Decision, RewardSignal, ServingState
from privacy.selectors.keys import ciphers_known, states_opened
from privacy.services.people.data_keys import ciphers


def sealed_state(person_id: int, row_key: bytes, values: Sequence[float] | np.ndarray) -> bytes:
    """A decision's state."""
    return ciphers([person_id])[person_id].seal(_bytes(values), about_state(person_id, row_key))


def sealed_outcome(decision: Decision, values: Sequence[float] | np.ndarray) -> bytes:
    """A decision's outcome."""
    cipher = ciphers([decision.person_id])[decision.person_id]
    return cipher.seal(_bytes(values), about_outcome(decision.person_id, decision.row_key))


def state_values(decision: Decision) -> list[float]:
    """The numbers of a stored state."""
    return states_opened([decision])[decision.pk].tolist()  # type: ignore[no-any-return]


def outcome_of(outcome: RewardSignal) -> list[float]:
    """The seven numbers of a stored outcome."""
    decision = outcome.decision
    cipher = ciphers_known([decision.person_id])[decision.person_id]
    plain = cipher.open(bytes(outcome.payload), about_outcome(decision.person_id, decision.row_key))
    return np.frombuffer(plain, dtype="<f8").tolist()  # type: ignore[no-any-return]


def memory_of(state: ServingState) -> list[float]:
    """What serving heard of a person."""
    cipher, version = ciphers_known([state.person_id])[state.person_id], state.loop.versions.latest("version")
    heard, _ = unpack_serving_state(
        version.spec, cipher.open(bytes(state.memory), about_serving_state(state.person_id, state.loop_id))
    )
    assert heard is not None
    return list(heard)


def _bytes(values: Sequence[float] | np.ndarray) -> bytes:
    return np.asarray(values, dtype="<f8").tobytes()
