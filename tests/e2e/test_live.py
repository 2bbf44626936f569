"""The whole platform alive: people play through the API, the first round deploys, a harmful version goes back by itself, and all
the while web and worker processes are killed. Nothing acknowledged is lost, nothing happens twice, the vault verifies.

The loop's truth is plain: a suggested stroll pleases people who have energy, and tires the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.db.models import Count
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from deployments.models import Deployment, HealthCheck, Incident
from deployments.selectors.slots import slot_for
from deployments.services.rollouts.slots import slots_seed
from deployments.services.serving.replay import decisions_replay
from jobs.models import Job
from jobs.schedules import schedules_sync
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.models import Decision, LedgerEntry, RewardEvent, RewardSignal, ServedDecision
from privacy.services.records.close_outcomes import outcomes_close
from privacy.services.vault.sealed_decisions import decisions_seal
from privacy.services.vault.verify import vault_verify
from r3al_project.turns.models import Turn
from tests.e2e.live import SHORT, Phone, Platform, until
from tests.e2e.population import PEOPLE, TOML, People
from tests.factories.users import token_of
from tests.factories.versions import judged
from tests.stack import Stack
from training.models import ModelVersion, VersionKind
from training.services.versions import version_register

POINTS = 6


@pytest.fixture
def loop(transactional_db: None) -> LoopVersion:
    call_command("roles")
    version, _ = loop_add(text=TOML, source="stroll.toml")
    slots_seed(loop_version=version)
    schedules_sync()
    every, _ = IntervalSchedule.objects.get_or_create(every=3, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.exclude(task="privacy.verify_vault").update(interval=every, expire_seconds=None)
    return version


@pytest.fixture
def platform(loop: LoopVersion, stack: Stack, tmp_path: Path) -> Iterator[Platform]:
    stack.clear_broker()
    made = Platform({**stack.environment(), **SHORT}, tmp_path)
    yield made
    made.stop()


def phone(platform: Platform, role: str) -> Phone:
    return Phone(platform.port, token_of(role))


def train(platform: Platform, operator: Phone) -> Turn:
    """A turn through the API, watched to its end."""
    body = {"modelType": "policy", "sourceDataType": "pulse", "epochs": 100, "syntheticSamples": 1000, "loop": "stroll"}
    status, told = operator.post("training/models", body, **{"Idempotency-Key": "first"})
    assert status == 202, told
    job = f"jobs/{told['jobId']}"

    def over() -> Any:
        now = operator.get(job)[1]
        return now if now["status"] in ("done", "failed") else None

    ended = until(over, 240, lambda: f"{operator.get(job)[1]} {platform.log('worker')}")
    assert ended["progress"] == 1.0 and ended["outcome"] in ("deployed", "kept"), ended
    return Turn.objects.get()


def deploy_harmful(loop: LoopVersion, operator: Phone) -> ModelVersion:
    """A version that suggests always, as if its evaluation had missed what it does."""
    harmful = version_register(
        loop_version=loop,
        head="policy",
        kind=VersionKind.LINEAR_Q,
        arrays={"weights": np.array([[0.0, 0.0], [1.0, 0.0]]), "margin": np.array(0.0)},
        config={"hinges": False},
        parent=slot_for(loop.loop, "policy").stable,
    )
    judged(harmful, reason="planted")
    status, told = operator.post(f"training/models/model_{harmful.pk}/deploy", {"deploymentType": "full_rollout"})
    assert status == 200, told
    return harmful


@pytest.mark.alone("production")
def test_alive_under_fire(platform: Platform, loop: LoopVersion) -> None:
    """Noise has no seed, but the outcome gate passes with much room. Whom the holdback takes is chance: nothing asks for it."""
    operator, people = phone(platform, "Operator"), People(phone(platform, "Service"))
    with platform.dying(("web", "worker-1", "worker-2", "monitor"), every=6.0):
        for point in range(POINTS):
            people.live(f"first-{point}", PEOPLE)
        until(lambda: not ServedDecision.objects.filter(closed_at=None).exists(), 180, lambda: platform.log("monitor"))
        turn = train(platform, operator)
        assert turn.outcome == "deployed", turn.reason
        good = slot_for(loop.loop, "policy").stable
        assert good.kind == "linear_q"
        harmful = deploy_harmful(loop, operator)
        until(lambda: harmful.pk in _serving(people, "seen"), 60, lambda: platform.log("web"))
        _live_until_incident(platform, people, harmful)
        until(lambda: _serving(people, "after") == {good.pk}, 20, lambda: platform.log("web"))
    assert platform.deaths >= 5
    _check_incident(harmful, good)
    platform.stop()
    _check_nothing_lost_or_doubled(people)


def _live_until_incident(platform: Platform, people: People, harmful: ModelVersion) -> None:
    """People go on joining until the evidence suffices: users are its unit, and how many fall to the holdback is chance."""

    def found() -> bool:
        if not Incident.objects.exists():
            first = people.register(120)
            people.live(f"harm-{first}", 120, first=first, harmful=harmful.pk)
        return Incident.objects.exists()

    until(found, 240, lambda: f"{_last_check()} {platform.log('monitor')}")


def _serving(people: People, point: str) -> set[int]:
    """Versions that answer 60 people now."""
    _serving.calls = getattr(_serving, "calls", 0) + 1  # type: ignore[attr-defined]
    return {told["versions"]["policy"] for told in people.live(f"{point}-{_serving.calls}", 60)}  # type: ignore[attr-defined]


def _last_check() -> Any:
    return HealthCheck.objects.values("state", "metrics", "triggers").last()


def _check_incident(harmful: ModelVersion, good: ModelVersion) -> None:
    incident = Incident.objects.get()
    assert incident.version == harmful and incident.automatic and incident.harmful and incident.check_made is not None
    assert Deployment.objects.get(version=harmful).state == "rolled_back"
    assert Deployment.objects.filter(version=good, rollback_of__version=harmful).count() == 1


def _check_nothing_lost_or_doubled(people: People) -> None:
    while decisions_seal() is not None:
        pass
    stored = {str(s.public_id): s for s in ServedDecision.objects.select_related("decision")}
    assert set(people.acknowledged) <= set(stored), "an acknowledged decision was lost"
    requests = ServedDecision.objects.values("person", "request_key").annotate(n=Count("pk")).filter(n__gt=1)
    assert not requests.exists()
    assert len(stored) == Decision.objects.count() == len(people.acknowledged), "each request was decided once"
    assert RewardEvent.objects.count() == len(people.acknowledged), "each word was kept once"
    outcomes_close()
    closed = ServedDecision.objects.exclude(closed_at=None).count()
    assert RewardSignal.objects.count() == closed, "each closed decision has one outcome"
    assert not LedgerEntry.objects.values("person", "release").annotate(n=Count("pk")).filter(n__gt=1).exists()
    assert Job.objects.filter(state="done").count() == Job.objects.count()
    assert not [r for r in decisions_replay() if r.difference]
    found = vault_verify()
    assert found.broken == "" and found.decisions == len(stored)
