"""What is remembered of a person: the newest known value of each feature, and when the newest of them was heard."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Memory(NamedTuple):
    """F values, NaN where nothing is known, and the moment of the newest; None: nothing was heard yet."""

    values: Floats
    at: datetime | None = None


def remembered(memory: Memory, values: Floats, at: datetime, *, keeps: float) -> Memory:
    """The memory after ``values`` (F, NaN where silent) were heard at ``at``; anything ``keeps`` seconds older is forgotten.

    A newer word goes over an older one. An older word only fills what is not known.
    """
    if memory.at is None or (at - memory.at).total_seconds() > keeps:
        return Memory(values, at)
    if at >= memory.at:
        return Memory(np.where(np.isnan(values), memory.values, values), at)
    if (memory.at - at).total_seconds() > keeps:
        return memory
    return Memory(np.where(np.isnan(memory.values), values, memory.values), memory.at)
