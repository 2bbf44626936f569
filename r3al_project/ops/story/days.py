"""Let days pass: people open the app at four hours of a day, and at night the platform does what beat would have it do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from core import clock
from deployments.services.health.check import health_tick
from deployments.services.ticks.rollout_tick import rollout_tick
from privacy.services.records.close_outcomes import outcomes_close
from privacy.services.vault.sealed_decisions import decisions_seal
from r3al_project.ops.story.app import StoryApp
from r3al_project.turns.models import Turn
from r3al_project.turns.services import turns_due
from simulator import LivingPeople

_HOURS = (8, 12, 17, 21)  # of the four decision points of a day
_NIGHT = timedelta(hours=3)
_DAY = timedelta(days=1)


class Days:
    """Hold the story's calendar: midnight of its first day, and the days that were lived. It ends at the machine's time."""

    def __init__(self, total: int) -> None:
        """Set the clock back to the morning of the first day."""
        machine = clock.now() + clock.set_back_by()
        self.total, self.lived, self.decisions = total, 0, 0
        self.first = machine.replace(hour=0, minute=0, second=0, microsecond=0) - total * _DAY
        self.go_to(self.first + _NIGHT)

    @property
    def is_over(self) -> bool:
        """Tell whether the last day was lived."""
        return self.lived >= self.total

    @property
    def today(self) -> datetime:
        """Return midnight of the present day."""
        return self.first + self.lived * _DAY

    def go_to(self, moment: datetime) -> None:
        """Set the clock to a past moment. One that has not come yet is the machine's own time."""
        back = clock.now() + clock.set_back_by() - moment
        clock.clock_set_back(max(back, timedelta(0)))

    def end(self) -> None:
        """Follow the machine's clock again."""
        clock.clock_set_back(timedelta(0))

    def live(self, community: Community, app: StoryApp) -> None:
        """Let people open the app through one day, and come to the night after it."""
        visits = community.people.visits()
        for point, hour in enumerate(_HOURS):
            self.go_to(self.today + timedelta(hours=hour))
            self.decisions += community.moment(app, np.flatnonzero(visits == point).tolist())
        self.lived += 1
        self.go_to(self.today + _NIGHT)


@dataclass
class Community:
    """Hold the people who use the app, and the names by which it knows them. ``gone``: indices of those who left."""

    people: LivingPeople
    names: list[str]
    gone: set[int] = field(default_factory=set)

    def moment(self, app: StoryApp, present: list[int]) -> int:
        """Decide for those who open the app, let everybody react, and report. Returns the number of decisions."""
        now = clock.now()
        asked = {i: app.ask(self.names[i], self.people.context(i), now) for i in present if i not in self.gone}
        decisions = {i: decided for i, decided in asked.items() if decided is not None}
        result = self.people.react({i: actions for i, (_, actions) in decisions.items()})
        for i, (decision, _) in decisions.items():
            app.report(self.names[i], decision, *self.people.outcome(result, i))
        return len(asked)


def night() -> list[Turn]:
    """Do what beat does: close outcomes, seal decisions, check health, take the steps of rollouts, and start turns that are due.

    Returns: the turns that began.
    """
    outcomes_close()
    while decisions_seal() is not None:
        pass
    health_tick()
    rollout_tick()
    return turns_due()
