"""Hold everything that a health verdict uses: people's closed weeks under both arms, and latency by the minute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from core.arrays import Bools, Floats, Ints
from deployments.engine.evidence.person_weeks import PersonWeeks
from deployments.engine.evidence.slow_minutes import MinuteShares, SlowMinutes
from loops.engine.spec import Silence

LIVED_COLUMNS = ("interventions", "answered", "harmful", "rated", "empathy_sum", "rewarded", "reward_sum")
# The other arm: a group that stays on the version before, one that is drawn anew each week, or the stable version in a trial.
ArmKind = Literal["holdback", "rotating", "trial"]


@dataclass(frozen=True)
class LivedWeeks:
    """Hold the closed weeks of the people of both arms, one row for each person, week and version.

    ``week``, ``person``, ``ours``, ``first``, ``closed`` and ``stage_starts`` are those of ``PersonWeeks``. ``sums``:
    (n, columns), in the order of ``LIVED_COLUMNS``.
    """

    week: Ints
    person: Ints
    ours: Bools
    sums: Floats
    first: int = 1
    closed: int = 0
    stage_starts: tuple[int, ...] = ()

    @classmethod
    def none(cls) -> LivedWeeks:
        """Return a table without rows."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, np.zeros(0, dtype=bool), np.zeros((0, len(LIVED_COLUMNS))))

    @property
    def empathy(self) -> PersonWeeks:
        """Return each person's mean empathy over rated interventions."""
        return self._of(self._column("rated"), self._column("empathy_sum"))

    def false_interventions(self, silence: Silence = "unknown") -> PersonWeeks:
        """Return each person's share of harmful labels.

        It is among answered interventions, because an absent label is not a good one. Where the loop declares what ``silence``
        means, it is among all interventions.
        """
        if silence == "unknown":
            return self._of(self._column("answered"), self._column("harmful"))
        count, harmful = self._column("interventions"), self._column("harmful")
        return self._of(count, harmful if silence == "harmless" else count - self._column("answered") + harmful)

    @property
    def answers(self) -> PersonWeeks:
        """Return each person's share of interventions that were answered, and the share that was harmful or silent."""
        count, answered, harmful = (self._column(name) for name in ("interventions", "answered", "harmful"))
        return self._of(count, answered, count - answered + harmful)

    @property
    def reward(self) -> PersonWeeks:
        """Return each person's mean reward, in the loop's units."""
        return self._of(self._column("rewarded"), self._column("reward_sum"))

    def _column(self, name: str) -> Floats:
        return np.asarray(self.sums[:, LIVED_COLUMNS.index(name)])

    def _of(self, count: Floats, *totals: Floats) -> PersonWeeks:
        rows = count > 0
        table = np.stack(totals, axis=1)[rows]
        return PersonWeeks(
            self.week[rows], self.person[rows], self.ours[rows], count[rows], table, self.first, self.closed,
            self.stage_starts,
        )  # fmt: skip


@dataclass(frozen=True)
class Latency:
    """Count the answered requests of this hour and the hour before, and how many of them took longer than 200 ms."""

    requests: int = 0
    over_200_ms: int = 0
    minutes: MinuteShares = field(default_factory=lambda: MinuteShares(np.zeros(0)))


@dataclass(frozen=True)
class Evidence:
    """Hold everything that a verdict uses.

    ``other_arm``: what the watched version is compared with at the same time. None if there is nothing.
    ``margin``: tolerated fall of the reward, in the loop's units. ``slow_minutes``: None if latency is not measured here.
    ``silence``: what the loop declares that an intervention without a label means.
    """

    weeks: LivedWeeks
    other_arm: ArmKind | None
    latency: Latency
    margin: float
    slow_minutes: SlowMinutes | None = None
    silence: Silence = "unknown"
