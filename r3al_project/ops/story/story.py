"""Hold the state of the story, and what its chapters do with it: live days, run turns and begin rollouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from django.conf import settings

from core.errors import Conflict, R3alError
from deployments.models import Deployment
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.start import rollout_start
from loops.engine.heads import MAIN_HEAD
from privacy.models import Purpose
from r3al_project.ops.story.app import StoryApp, app_account_create
from r3al_project.ops.story.days import Community, Days, night
from r3al_project.ops.story.logs import AppLog
from r3al_project.ops.story.telling import Teller
from r3al_project.ops.story.terms import story_loop_add
from r3al_project.turns.models import Turn
from r3al_project.turns.services import turn_parameters, turn_start
from simulator import LivingPeople
from training.models import ModelVersion
from training.selectors.versions import version_get

_OVERRIDE = "people's answers decide, and harm takes it back"


@dataclass(frozen=True)
class StorySize:
    """Size the story: people with a log, how many of them use the app, people of the partner, and days.

    canary_days, test_days, harm_days: after how many days an operator ends a rollout that has not ended by itself. calm_days:
    between two chapters.
    """

    people: int = 1_000
    living: int = 240
    partner: int = 1_000
    days: int = 90
    canary_days: int = 40
    test_days: int = 48
    harm_days: int = 21
    calm_days: int = 4


class Story:
    """Live the story with one loop, one app and its people."""

    def __init__(self, size: StorySize, *, seed: int, epsilon: float, operator: str, teller: Teller) -> None:
        """Set the clock back, and add the loop, the app and the log of its people."""
        self.size, self.seed, self.epsilon = size, seed, epsilon
        self.operator, self.teller, self.days = operator, teller, Days(size.days)
        self.folder = Path(settings.VAR_DIR) / "story"
        self.version = story_loop_add(self.folder)
        self.app = StoryApp(self.version.loop.name, app_account_create())
        log = AppLog(size.people, seed, self.days.today.date(), "sim")
        self.log, people = log.write(self.version.spec, self.folder)
        living = people.take(np.arange(min(size.living, size.people)))
        rng = np.random.default_rng([seed, 1])
        self.community = Community(LivingPeople(self.version.spec, living, rng), log.names()[: living.n])

    def say(self, text: str) -> None:
        """Tell one line of a chapter."""
        self.teller.say(f"  {text}")

    def turn(self, source: Path | None = None) -> Turn:
        """Run a turn as an operator, on a new file too if one is given."""
        parameters = turn_parameters(
            epsilon=self.epsilon, seed=self.seed, source=source, consents=Purpose.values if source else ()
        )
        turn = turn_start(loop_version=self.version, parameters=parameters, actor=self.operator)
        return self.turn_follow(turn)

    def turn_follow(self, turn: Turn) -> Turn:
        """Run a turn to its end and tell how it ended. Raises KeyboardInterrupt for one that was cancelled."""
        self.say(f"turn {turn.pk} begins: it releases noised sums, trains and evaluates")
        turn = self.teller.follow(turn)
        if turn.outcome == Turn.Outcome.CANCELLED:
            raise KeyboardInterrupt
        self.say(f"turn {turn.pk} ends, {turn.outcome_text}: {_first_sentence(turn.reason)}")
        return turn

    def live(self, at_most: int, ended: Callable[[], bool] = lambda: False) -> bool:
        """Live day after day until something has ended, for at most some days and never past today. Returns whether it ended."""
        last = self.days.lived + at_most
        while self.days.lived < last and not self.days.is_over and not ended():
            for turn in self._live_until_due(last, ended):
                self.say("the schedule starts a turn")
                self.turn_follow(turn)
        return ended()

    def _live_until_due(self, last: int, ended: Callable[[], bool]) -> list[Turn]:
        with self.teller.days():
            while self.days.lived < last and not self.days.is_over and not ended():
                self.days.live(self.community, self.app)
                due = night()
                people = len(self.community.names) - len(self.community.gone)
                self.teller.lived(self.days.lived, self.days.today.date(), people, self.days.decisions)
                if due:
                    return due
        return []

    def candidate(self, turn: Turn) -> ModelVersion | None:
        """Return the policy that a turn has trained, None if it trained none."""
        trained = turn.stages.filter(name="train").first()
        pk = trained.summary.get("versions", {}).get(MAIN_HEAD) if trained else None
        return version_get(int(pk)) if pk is not None else None

    def begin(self, turn: Turn, strategy: str, reason: str, *, share: float | None = None) -> Deployment | None:
        """Roll out what a turn has trained. Where the gate or an earlier harm objects, the operator overrides that.

        Returns: None if there is nothing to roll out, or it is refused all the same. The story then says so.
        """
        version = self.candidate(turn)
        if version is None:
            self.say("there is no new version to roll out")
            return None
        try:
            return self._begin(version, strategy, reason, share)
        except R3alError as refused:
            self.say(f"the rollout is refused: {refused}")
            return None

    def _begin(self, version: ModelVersion, strategy: str, reason: str, share: float | None) -> Deployment:
        try:
            return rollout_start(strategy=strategy, version=version, actor=self.operator, reason=reason, share=share)
        except Conflict as objection:
            made = rollout_start(
                strategy=strategy, version=version, actor=self.operator, reason=reason, share=share, override=_OVERRIDE
            )
            self.say(
                f"the operator overrides an objection, which the Trust Vault records: {_first_sentence(str(objection))}"
            )
            return made

    def has_ended(self, rollout: Deployment) -> bool:
        """Tell whether a rollout is over."""
        rollout.refresh_from_db()
        return rollout.finished_at is not None

    def serves(self) -> str:
        """Return the name of the policy that serves now."""
        stable = slot_for(self.version.loop, MAIN_HEAD).stable
        return stable.name if stable.is_learned else "the reference"


def _first_sentence(text: str) -> str:
    """Return what comes first of a long reason. The pages show all of it."""
    return text.partition(". ")[0].rstrip(".") + "."
