"""Canaries alive: a good version is promoted and a harmful one goes back, while web and worker processes die every few seconds.

Weeks pass because every process follows one clock, which is set back at first and comes nearer to the machine's day by day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from core import clock
from deployments.engine.rollouts.staged import StageFacts, canary_verdict
from deployments.models import Deployment, EvidenceWeek, Incident, RolloutCheck
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.slots import slots_seed
from deployments.services.ticks.rollout_tick import canary_terms
from jobs.models import PeriodicRun
from jobs.schedules import schedules_sync
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.models import RewardEvent, ServedDecision
from privacy.services.records.close_outcomes import outcomes_close
from privacy.services.vault.sealed_decisions import decisions_seal
from privacy.services.vault.verify import vault_verify
from tests.e2e.live import SHORT, Phone, Platform, until
from tests.e2e.population import TOML, People
from tests.factories.users import token_of
from tests.factories.versions import judged
from tests.stack import Stack
from training.models import ModelVersion, VersionKind
from training.services.versions import version_register

ROLLOUT = '[rollout]\nstrategy = "canary"\nstages = [0.3, 0.5]\ndwell_weeks = 1\n\n'
CANARY = TOML.replace("[features.energy]", f"{ROLLOUT}[features.energy]")
TICK = "deployments.rollouts"
PEOPLE, MOMENTS = 240, 3  # in a week
DAY = timedelta(days=1)
BEGIN = timedelta(days=60)  # ago
SUGGESTS_ALWAYS = [[0.0, 0.0], [1.0, 0.0]]
SUGGESTS_WITH_ENERGY = [[0.0, 0.0], [-0.6, 2.0]]


class OneClock:
    """The clock of all processes, and of this one."""

    def __init__(self, file: Path) -> None:
        self.file, self._back = file, BEGIN
        self._write()
        clock.clock_follow(file)

    def forward(self, by: timedelta) -> None:
        self._back -= by
        self._write()

    def _write(self) -> None:
        clock.clock_file_write(self.file, self._back)


class Strollers(People):
    """They like a stroll when they have energy, and otherwise it tires them. A harmful version they dismiss."""

    def feel(self, told: dict[str, Any], energy: float, noise: float, harmful: int) -> dict[str, Any]:
        if told["actions"]["policy"]["action"] != "suggest":
            return {"label": "liked", "total": float(noise) / 10}
        if told["versions"]["policy"] == harmful:
            return {"label": "dismissed", "components": {"sentiment": -1.5, "empathy": 0.05}}
        sentiment, empathy = (float(energy), 0.9) if energy > 0.3 else (-1.5, 0.7)
        return {"label": "liked", "components": {"sentiment": sentiment, "empathy": empathy}}


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[OneClock]:
    yield OneClock(tmp_path / "clock")
    clock.clock_follow(None)


@pytest.fixture
def loop(transactional_db: None, clocked: OneClock) -> LoopVersion:
    call_command("roles")
    version, _ = loop_add(text=CANARY, source="stroll.toml")
    slots_seed(loop_version=version)
    schedules_sync()
    every, _ = IntervalSchedule.objects.get_or_create(every=3, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.exclude(task="privacy.verify_vault").update(interval=every, expire_seconds=None)
    return version


@pytest.fixture
def platform(loop: LoopVersion, clocked: OneClock, stack: Stack, tmp_path: Path) -> Iterator[Platform]:
    stack.clear_broker()
    made = Platform({**stack.environment(), **SHORT, "R3AL_CLOCK_FILE": str(clocked.file)}, tmp_path)
    yield made
    made.stop()


def version_that(loop: LoopVersion, weights: list[list[float]]) -> ModelVersion:
    """A version that passed its gate against what serves now."""
    stable = slot_for(loop.loop, "policy").stable
    version = version_register(
        loop_version=loop,
        head="policy",
        kind=VersionKind.LINEAR_Q,
        arrays={"weights": np.array(weights), "margin": np.array(0.0)},
        config={"hinges": False},
        parent=stable if stable.is_learned else None,
    )
    return judged(version, reason="as in life")


def deploy(operator: Phone, version: ModelVersion, way: str) -> Deployment:
    status, told = operator.post(f"training/models/model_{version.pk}/deploy", {"deploymentType": way})
    assert status == 200, told
    return Deployment.objects.get(version=version)


def live_a_week(people: Strollers, clocked: OneClock, harmful: int) -> None:
    """People meet the platform on three days. Then the week is over."""
    for moment in range(MOMENTS):
        clocked.forward(2 * DAY)
        people.live(f"{clock.now():%m-%d}-{moment}", PEOPLE, harmful=harmful)
    clocked.forward(DAY + timedelta(minutes=1))


def live_until_the_end(
    platform: Platform, people: Strollers, clocked: OneClock, rollout: Deployment, *, weeks: int, harmful: int = -1
) -> Deployment:
    """Weeks are lived until the rollout has ended."""
    for week in range(1, weeks + 1):
        live_a_week(people, clocked, harmful)
        until(partial(_over_or_closed, rollout, week), 90, partial(_told, rollout, platform))
        until(partial(_over_or_ticked, rollout, timezone.now()), 60, partial(_told, rollout, platform))
        if rollout.state != "in_progress":
            return rollout
    raise AssertionError(f"it goes on after {weeks} weeks: {_told(rollout, platform)}")


def _ended(rollout: Deployment) -> bool:
    rollout.refresh_from_db()
    return rollout.state != "in_progress"


def _over_or_closed(rollout: Deployment, week: int) -> bool:
    return _ended(rollout) or EvidenceWeek.objects.filter(deployment=rollout, week=week).exists()


def _over_or_ticked(rollout: Deployment, after: datetime) -> bool:
    """Whether it ended, or two ticks were over since: the second one saw all that was stored before."""
    ticks = PeriodicRun.objects.filter(task=TICK, finished_at__gt=after + timedelta(seconds=4))
    return _ended(rollout) or ticks.exists()


def _told(rollout: Deployment, platform: Platform) -> str:
    checks = RolloutCheck.objects.filter(deployment=rollout).values(
        "stage", "closed_weeks", "step", "reasons", "facts__week"
    )
    weeks = list(EvidenceWeek.objects.filter(deployment=rollout).values_list("week", flat=True))
    return f"{rollout.state} {weeks} {list(checks)} {platform.log('monitor')}"


@pytest.mark.slow
def test_a_good_canary_is_promoted_and_a_harmful_one_goes_back(
    platform: Platform, loop: LoopVersion, clocked: OneClock
) -> None:
    operator, people = (
        Phone(platform.port, token_of("Operator")),
        Strollers(Phone(platform.port, token_of("Service")), PEOPLE),
    )
    deploy(operator, version_that(loop, SUGGESTS_ALWAYS), "full_rollout")
    good = version_that(loop, SUGGESTS_WITH_ENERGY)
    with platform.dying(("web", "worker-1", "worker-2", "monitor"), every=6.0):
        ended = live_until_the_end(platform, people, clocked, deploy(operator, good, "canary"), weeks=6)
        assert ended.state == "succeeded", _told(ended, platform)
        assert slot_for(loop.loop, "policy").stable == good
        harmful = version_that(loop, SUGGESTS_ALWAYS)
        ended = live_until_the_end(
            platform, people, clocked, deploy(operator, harmful, "canary"), weeks=6, harmful=harmful.pk
        )
        assert ended.state == "rolled_back", _told(ended, platform)
        assert harmful.pk not in {told["versions"]["policy"] for told in people.live("after", PEOPLE)}
    assert platform.deaths >= 5 and slot_for(loop.loop, "policy").stable == good
    incident = Incident.objects.get()
    assert incident.version == harmful and incident.automatic and incident.harmful
    platform.stop()
    _check_verdicts_come_again()
    _check_records(people)


def _check_verdicts_come_again() -> None:
    checks = RolloutCheck.objects.all()
    assert len(checks) >= 3
    for check in checks:
        again = canary_verdict(canary_terms(check.terms), StageFacts.from_json(check.facts))
        assert (again.step, list(again.reasons), again.figures) == (check.step, check.reasons, check.figures)


def _check_records(people: People) -> None:
    """Nothing acknowledged was lost or doubled, and the vault verifies what it holds."""
    while decisions_seal() is not None:
        pass
    stored = {str(served.public_id) for served in ServedDecision.objects.all()}
    assert stored == set(people.acknowledged)
    assert RewardEvent.objects.count() == len(stored)
    outcomes_close()
    found = vault_verify()
    assert found.broken == "" and found.decisions == len(stored)
