"""Hold a month's log of a world, and give the rows that releases and evaluations read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.arrays import Bools, Floats, Ints
from privacy.engine.evaluation.statistics import EvaluationRows
from privacy.engine.moments.rows import ReleaseRows


@dataclass(frozen=True)
class Month:
    """Hold the log of U people over T decision points. All arrays are (U, T) unless stated otherwise.

    arm (U,): which policy served the person. state, next_state (U, T, F). present: the person had not left before, nor pauses.
    stays: has not left by the next point. dropped_out: the log tells that the person leaves now.
    propensity: of the action, given ``explored``. marginal: over both cases. reward: in the loop's units.
    harmful: 1, 0, or -1 without a label. harmed: the truth behind it.
    """

    arm: Ints
    state: Floats
    next_state: Floats
    has_next: Bools
    present: Bools
    stays: Bools
    available: Bools
    dropped_out: Bools
    action: Ints
    propensity: Floats
    marginal: Floats
    explored: Bools
    reward: Floats
    empathy: Floats
    harmful: Ints
    harmed: Bools

    @property
    def people(self) -> int:
        """Return U."""
        return len(self.arm)

    @property
    def decided(self) -> Bools:
        """Return which points (U, T) are decisions: present and available."""
        return self.present & self.available

    def training(self, people: Bools | None = None) -> ReleaseRows:
        """Return the rows that a release reads, with propensities given the exploration flag. ``people`` (U,) selects."""
        return self._rows(self.propensity, self._selected(people))

    def evaluation(self, people: Bools | None = None) -> EvaluationRows:
        """Return the rows that an evaluation reads, with marginal propensities. ``people`` (U,) selects."""
        chosen = self._selected(people)
        return EvaluationRows(self._rows(self.marginal, chosen), self.empathy[chosen], self.harmful[chosen])

    def arms(self, people: Bools | None = None) -> Ints:
        """Return the arm of each person in the rows, in their order."""
        return np.asarray(self.arm[self._selected(people).any(axis=1)])

    def lived(self) -> float:
        """Return the mean reward of all decisions, in the loop's units."""
        return float(self.reward[self.decided].mean())

    def _selected(self, people: Bools | None) -> Bools:
        return self.decided if people is None else self.decided & people[:, None]

    def _rows(self, propensity: Floats, chosen: Bools) -> ReleaseRows:
        numbers = np.cumsum(chosen.any(axis=1)) - 1
        return ReleaseRows(
            person=np.repeat(numbers, chosen.sum(axis=1)).astype(np.int64),
            state=self.state[chosen],
            next_state=self.next_state[chosen],
            has_next=self.has_next[chosen],
            dropped_out=self.dropped_out[chosen],
            action=self.action[chosen],
            propensity=propensity[chosen],
            explored=self.explored[chosen],
            reward=self.reward[chosen],
        )
