"""Known dynamics: features whose next value is computed, so that they cost no privacy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loops.engine.spec import LoopSpec

Floats = npt.NDArray[np.float64]
_ROUNDING = 1e-6  # of a turn; the shortest step, of a clock with 1,440 points a day, is 7e-4


def advance_known(spec: LoopSpec, states: Floats, intervened: npt.NDArray[np.bool_]) -> Floats:
    """States (n, F) one decision point later as far as it is known; learned and drift columns are left as they are.

    since_intervention: its lower bound after an intervention, else min(upper bound, v + step). recent_load:
    lo + decay (v - lo) + (1 - decay)(hi - lo) 1[intervened]. clock: the next category, in a circle; a number turns by
    (hi - lo) / decisions_per_day and begins again at its lower bound. constant: unchanged.
    """
    out = states.copy()
    for i, f in enumerate(spec.features):
        low, high = f.bounds or (0.0, 1.0)
        if f.dynamics == "since_intervention":
            step = (high - low) / 12 if f.step is None else f.step
            out[:, i] = np.where(intervened, low, np.minimum(high, states[:, i] + step))
        elif f.dynamics == "recent_load":
            decay = 0.8 if f.decay is None else f.decay
            out[:, i] = low + decay * (states[:, i] - low) + (1 - decay) * (high - low) * intervened
        elif f.dynamics == "clock" and f.is_category:
            out[:, i] = (states[:, i] + 1) % len(f.categories)
        elif f.dynamics == "clock":
            out[:, i] = low + (high - low) * _turned(states[:, i], low, high, spec.decisions_per_day)
    return out


def _turned(values: Floats, low: float, high: float, per_day: int) -> Floats:
    """The clock's phase in [0, 1) one decision point later; a phase that rounding left just short of 1 has come round."""
    phase = ((values - low) / (high - low) + 1 / per_day) % 1.0
    return np.where(phase > 1.0 - _ROUNDING, 0.0, phase)
