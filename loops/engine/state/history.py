"""Compute features with known dynamics along a person's decision points, where a file lacks them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np

from core.arrays import Floats
from loops.engine.spec import LoopSpec
from loops.engine.state.clock import clock_reader
from loops.engine.state.dynamics import advance_known, begins_daily, start_of


class StateHistory:
    """Follow one person's decision points in order of time. ``columns`` are the indices of the features to compute.

    A new person has had no intervention: the time since one is at its upper bound, load at its lower bound, a clock at its
    beginning. A clock with a period of one day restarts each day. A clock that declares ``starts`` is read from the time.
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
        """Start with a new person: the next point is their first."""
        self._state: Floats | None = None
        self._intervened = False
        self._day = date.min

    def resume(self, state: Floats, intervened: bool, day: date) -> None:
        """Continue after a stored decision point.

        Args: state: its whole state (F,). intervened: whether it intervened. day: its local calendar day.
        """
        self._state, self._intervened, self._day = (state[None, :].copy(), intervened, day)

    def step(self, at: datetime, intervened: bool) -> Floats:
        """Return the values of ``columns`` at the next point, then advance past it.

        Args: at: the local time of the point. intervened: whether the point itself intervened.
        """
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
