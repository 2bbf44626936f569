"""Open a person's outcomes and add them up. Nothing but the sums leaves this module."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np

from core.arrays import Floats
from loops.engine.reward import COMPONENTS
from loops.engine.spec import LoopSpec
from privacy.engine.outcomes import outcomes_bounded
from privacy.engine.sealing import CannotOpen, Cipher, about_outcome

log = logging.getLogger(__name__)
_EMPATHY = 1 + COMPONENTS.index("empathy")
OutcomeRow = tuple[int, bytes, bytes | None, bool | None]  # action, row key, sealed outcome, harmful label


def outcome_sums(
    spec: LoopSpec, cipher: Cipher, person: int, rows: Iterable[OutcomeRow], reference: int | None
) -> dict[str, Any]:
    """Add up a person's choices and outcomes. Totals and components are clipped to the loop's bounds.

    An intervention without a label was not answered. ``reference`` is the action that does not intervene. None means that every
    choice counts as an intervention, as it does for heads other than policy.
    """
    out: dict[str, Any] = dict.fromkeys(
        ("decisions", "interventions", "answered", "harmful", "rated", "rewarded", "empathy_sum", "reward_sum"), 0
    )
    for action, row_key, sealed, harmful in rows:
        intervened, payload = action != reference, _opened(spec, cipher, person, row_key, sealed)
        out["decisions"] += 1
        out["interventions"] += intervened
        out["answered"] += intervened and harmful is not None
        out["harmful"] += bool(intervened and harmful)
        if payload is not None and intervened and np.isfinite(payload[_EMPATHY]):
            out["rated"] += 1
            out["empathy_sum"] += float(payload[_EMPATHY])
        if payload is not None and np.isfinite(payload[0]):
            out["rewarded"] += 1
            out["reward_sum"] += float(payload[0])
    return out


def _opened(spec: LoopSpec, cipher: Cipher, person: int, row_key: bytes, sealed: bytes | None) -> Floats | None:
    """Return an outcome's bounded numbers, or None if there are none.

    A damaged outcome gives None too, because it must not stop the health check.
    """
    if sealed is None:
        return None
    try:
        payload = cipher.open(bytes(sealed), about_outcome(person, row_key))
    except CannotOpen:
        log.error("an outcome of person %s cannot be opened and is left out of the evidence", person)
        return None
    return outcomes_bounded(spec, np.frombuffer(payload, dtype="<f8"))
