"""Features with known dynamics, computed along a person's decision points where a file does not carry them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec
from loops.engine.state.clock import clock_reader
from loops.engine.state.dynamics import advance_known, begins_daily, start_of


class StateHistory:
    """Walks one person's decision points in order of time; ``columns`` are the features (indices) that it computes.

    Somebody new was never spoken to: time since an intervention is at its upper bound, load at its lower one, a clock
    at its beginning. A clock whose period is a day begins again with each of the person's days; one that declares when its
    categories begin is read off the time.
    """

    def __init__(self, spec: LoopSpec, columns: Sequence[int]) -> None:
        self._spec = spec
        self._columns = list(columns)
        self._start = np.array([[start_of(f) for f in spec.features]])
        readers = {i: clock_reader(spec.features[i]) for i in self._columns}
        self._read = {i: reader for i, reader in readers.items() if reader is not None}
        self._daily = [i for i in self._columns if begins_daily(spec, spec.features[i])]
        self.begin()

    def begin(self) -> None:
        """The next point is a new person's first."""
        self._state: Floats | None = None
        self._intervened = False
        self._day = date.min

    def resume(self, state: Floats, intervened: bool, day: date) -> None:
        """The next point follows this one: its whole state (F,), whether it intervened, its calendar day."""
        self._state, self._intervened, self._day = (state[None, :].copy(), intervened, day)

    def step(self, at: datetime, intervened: bool) -> Floats:
        """Values of ``columns`` at the next point, at local time ``at``; ``intervened`` is what then happened at it."""
        day = at.date()
        if self._state is None:
            state = self._start.copy()
        else:
            state = advance_known(self._spec, self._state, np.array([self._intervened]))
            if day != self._day:
                state[0, self._daily] = self._start[0, self._daily]
        for i, read in self._read.items():
            state[0, i] = read(at.time())
        self._state, self._intervened, self._day = state, intervened, day
        return state[0, self._columns]
