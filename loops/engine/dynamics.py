"""Known dynamics: features whose next value is computed, so that they cost no privacy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loops.engine.spec import LoopSpec

Floats = npt.NDArray[np.float64]


def advance_known(spec: LoopSpec, states: Floats, intervened: npt.NDArray[np.bool_]) -> Floats:
    """States (n, F) one decision point later as far as it is known; learned and drift columns are left as they are."""
    out = states.copy()
    for i, f in enumerate(spec.features):
        low, high = f.bounds or (0.0, 1.0)
        if f.dynamics == "since_intervention":
            out[:, i] = np.where(intervened, low, np.minimum(high, states[:, i] + (f.step or (high - low) / 12)))
        elif f.dynamics == "recent_load":
            decay = f.decay or 0.8
            out[:, i] = low + decay * (states[:, i] - low) + (1 - decay) * (high - low) * intervened
        elif f.dynamics == "clock" and f.is_category:
            out[:, i] = (states[:, i] + 1) % len(f.categories)
        elif f.dynamics == "clock":
            out[:, i] = low + (states[:, i] - low + (high - low) / spec.decisions_per_day) % (high - low)
    return out
