"""The story of the demo: every chapter goes through the real services and says how it ended; all of it is stored in the past."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import call_command

from core import clock
from deployments.engine.rollouts.strategies import AB_TEST, CANARY
from deployments.models import AbExperiment, Deployment, DeploymentState, HealthCheck, Incident, RolloutCheck
from privacy.models import Consent, Decision, LedgerEntry, Person, Purpose, RewardSignal, ServedDecision, VaultEvent
from privacy.services.vault.adopt import vault_prepare
from r3al_project.ops import demo
from r3al_project.ops.story import chapters
from r3al_project.ops.story.sights import sights_check, sights_of
from r3al_project.ops.story.story import Story, StorySize
from r3al_project.ops.story.telling import Teller
from r3al_project.turns.models import Turn
from r3al_project.turns.run_in_process import turn_run

pytestmark = pytest.mark.django_db

SHORT = StorySize(
    people=80, living=24, partner=60, days=17, canary_days=5, test_days=4, harm_days=3, calm_days=1
)  # fmt: skip


class Heard(Teller):
    """Keep the lines, and run turns in this thread, in the test's own transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def follow(self, turn: Turn) -> Turn:
        return turn_run(turn, say=self.say)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture(autouse=True)
def machine_time() -> Iterator[None]:
    yield
    clock.clock_set_back(timedelta(0))


def story(size: StorySize, folder: Path, settings: LazySettings, seed: int = 1) -> Story:
    settings.VAR_DIR = folder
    vault_prepare()
    call_command("roles", verbosity=0)
    demo.operator_create("demo", None)
    return Story(size, seed=seed, epsilon=1.0, operator="demo", teller=Heard())


def test_a_short_story_lives_every_chapter_and_stores_all_of_it_in_the_past(
    tmp_path: Path, settings: LazySettings
) -> None:
    told = story(SHORT, tmp_path, settings)
    began = clock.now()
    check = chapters.story_tell(told)
    heard = told.teller
    assert isinstance(heard, Heard)

    assert not check.broken and check.sequence == VaultEvent.objects.count()
    assert not clock.set_back_by() and told.days.lived == SHORT.days
    assert [f"Chapter {n} of 5" in heard.text for n in range(1, 6)] == [True] * 5

    # Time: months were lived, and nothing lies ahead.
    lived = ServedDecision.objects.order_by("decision__decided_at").values_list("decision__decided_at", flat=True)
    assert began < lived[0] and lived[len(lived) - 1] - lived[0] > timedelta(days=SHORT.days - 2)
    for model, field in (
        (Decision, "decided_at"),
        (Deployment, "created_at"),
        (Turn, "created_at"),
        (VaultEvent, "at"),
    ):
        assert not model.objects.filter(**{f"{field}__gt": clock.now()}).exists(), model  # type: ignore[attr-defined]

    # Every chapter's path: three turns, three rollouts by the real services, each with its verdicts and its end.
    assert Turn.objects.filter(actor="demo").count() == 3
    assert not Turn.objects.filter(outcome__in=(Turn.Outcome.RUNNING, Turn.Outcome.FAILED)).exists()
    rollouts = Deployment.objects.filter(strategy__in=(CANARY, AB_TEST)).order_by("pk")
    assert [rollout.strategy for rollout in rollouts] == [CANARY, AB_TEST, CANARY]
    assert all(rollout.finished_at is not None and rollout.actor == "demo" for rollout in rollouts)
    assert all(RolloutCheck.objects.filter(deployment=rollout).exists() for rollout in rollouts)
    assert AbExperiment.objects.count() == 1 and HealthCheck.objects.exists()
    assert Incident.objects.filter(deployment__in=rollouts).count() == len(
        rollouts.exclude(state=DeploymentState.SUCCEEDED)
    )

    # Outcomes were closed, and people were charged.
    assert RewardSignal.objects.filter(decision__served__isnull=False).count() > ServedDecision.objects.count() // 2
    assert LedgerEntry.objects.values("release").distinct().count() >= 3

    # One person refused training on their own device, and one is erased.
    refused = Consent.objects.get(granted=False)
    assert (refused.purpose, bool(refused.device)) == (Purpose.TRAINING.value, True)
    assert Person.objects.filter(erased_at__isnull=False).count() == 1


def test_what_there_is_to_look_at_opens(tmp_path: Path, settings: LazySettings) -> None:
    told = story(SHORT, tmp_path, settings)
    sights = sights_of(told.version.loop)
    assert len(sights) == 3  # no incident and no comparison yet, so none is shown
    sights_check(sights, "demo")
    missing = [type(sights[0])("a page that is not there", "/r3al/none/")]
    with pytest.raises(Exception, match="answers 404"):
        sights_check(missing, "demo")


def test_the_loop_of_the_story_is_that_of_the_simulated_people_with_a_canary(
    tmp_path: Path, settings: LazySettings
) -> None:
    spec = story(SHORT, tmp_path, settings).version.spec
    assert (spec.name, spec.deploy, spec.reward.silence) == ("r3al", "by hand", "harmless")
    assert (spec.rollout.strategy, spec.rollout.stages, spec.rollout.dwell_weeks) == (CANARY, (0.1, 0.5), 1)


def test_a_story_begins_as_many_days_ago_as_it_has_and_never_runs_ahead(tmp_path: Path, settings: LazySettings) -> None:
    days = story(SHORT, tmp_path, settings).days
    assert days.today.date() == date.today() - timedelta(days=SHORT.days)
    days.go_to(clock.now() + timedelta(days=400))
    assert not clock.set_back_by()


@pytest.mark.slow
def test_the_whole_story_ends_as_it_is_told(tmp_path: Path, settings: LazySettings) -> None:
    told = story(StorySize(), tmp_path, settings)
    assert not chapters.story_tell(told).broken
    first, test, harmful = Deployment.objects.filter(strategy__in=(CANARY, AB_TEST)).order_by("pk")
    assert first.state == DeploymentState.SUCCEEDED
    assert test.strategy == AB_TEST and test.finished_at is not None
    assert (harmful.state, harmful.harmful) == (DeploymentState.ROLLED_BACK, True)
    incident = Incident.objects.get(deployment=harmful)
    assert incident.automatic and incident.actor in ("health check", "rollout tick")
    assert len(sights_of(told.version.loop)) == 5
