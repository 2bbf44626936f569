"""Find the row that holds the next state of each row, under the loop's declared rule. Next states are not stored again."""

from __future__ import annotations

import numpy as np

from core.arrays import Bools, Ints
from loops.engine.spec import NextState


def next_rows(rule: NextState, *, person: Ints, day: Ints, available: Bools, dropped_out: Bools) -> Ints:
    """Return the index (n,) of each row's next state, -1 where there is none. Rows are in order of person and time.

    ``next_row`` is the same person's next row. ``next_available`` is the next row at which the person was available, skipping
    any number of others. With ``_same_day`` neither crosses the end of the person's day. A row after which the person left has
    no next state.
    """
    n = len(person)
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    candidates = np.arange(1, n + 1)
    if rule.startswith("next_available"):
        # The first available row at or after each position: a running minimum from the end.
        usable = np.where(available, np.arange(n), n)
        first = np.minimum.accumulate(usable[::-1])[::-1]
        candidates = np.append(first, n)[candidates]
    inside = candidates < n
    target = np.where(inside, candidates, 0)
    follows = inside & (person[target] == person) & ~dropped_out
    if rule.endswith("same_day"):
        follows &= day[target] == day
    return np.where(follows, target, -1).astype(np.int64)
