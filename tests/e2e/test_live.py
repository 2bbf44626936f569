"""The whole platform alive: people play through the API, the first round deploys, a harmful version goes back by itself, and all
the while web and worker processes are killed. Nothing acknowledged is lost, nothing happens twice, the vault verifies.

The loop's truth is plain: a suggested stroll pleases people who have energy, and tires the others.
"""

from __future__ import annotations

import zlib
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
from tests.e2e.live import Phone, Platform, until
from tests.factories.loop_files import LOGGED
from tests.factories.users import token_of
from tests.factories.versions import judged
from tests.races import in_threads
from tests.stack import Stack
from training.models import ModelVersion, VersionKind
from training.services.versions import version_register

TOML = (
    """
name = "stroll"
version = 1
decisions_per_day = 24
trial = "undecided"
minimum_effect = 0.1

[features.energy]
bounds = [0, 1]
dynamics = "drift"
scale = 0.3

[heads.policy]
actions = ["wait", "suggest"]
reference = "wait"
logging = [0.5, 0.5]

[reward]
scale = 0.5
deadline = "4s"
default = 0.0
stability_margin = 1.0
limit = 1.5
harmful_labels = ["dismissed"]
"""
    + LOGGED
)
PEOPLE, POINTS = 600, 6
SHORT = {
    "R3AL_JOB_LEASE_SECONDS": "3",
    "R3AL_JOB_HEARTBEAT_SECONDS": "1",
    "R3AL_JOB_GRACE_SECONDS": "2",
    "LOG_LEVEL": "WARNING",
}


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


class People:
    """A population with one service account; it keeps what was acknowledged."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.count = 0
        self.register(PEOPLE)

    def register(self, more: int) -> int:
        """So many more people join; how many there were before."""
        first, consents = self.count, {"personalization": True, "training": True, "evaluation": True}
        bodies = [{"userId": f"p{first + i}", "loop": "stroll", "consents": consents} for i in range(more)]
        in_threads(lambda i: self._ok(self.phone.post("people", bodies[i])), range(more), threads=8)
        self.count += more
        return first

    def live(self, point: str, people: int, *, first: int = 0, harmful: int = -1) -> list[Any]:
        """One decision point of so many people, who dismiss what the version ``harmful`` says; the answers."""
        rng = np.random.default_rng(zlib.crc32(point.encode()))
        energy, noise = rng.random(people), rng.normal(size=people) * 0.3

        def one(i: int) -> Any:
            body = {
                "requestId": f"{point}-{i}",
                "loop": "stroll",
                "userId": f"p{first + i}",
                "context": {"energy": float(energy[i])},
            }
            told = self._ok(self.phone.post("optima/decisions", body))
            self.acknowledged[told["decisionId"]] = told
            suggested = told["actions"]["policy"]["action"] == "suggest"
            word: dict[str, Any] = {"rewardId": "w", "userId": f"p{first + i}"}
            if suggested and told["versions"]["policy"] == harmful:
                word |= {"label": "dismissed", "components": {"sentiment": -1.5, "empathy": 0.05}}
            elif suggested and harmful > 0:
                word |= {"label": "liked", "components": {"sentiment": 0.5, "empathy": 0.9}}
            else:
                felt = float(np.clip(suggested * (2 * energy[i] - 0.6) + noise[i], -1.5, 1.5))
                word |= {"label": "liked", "total": felt}
            self._ok(self.phone.post(f"optima/decisions/{told['decisionId']}/rewards", word))
            return told

        return in_threads(one, range(people), threads=8)

    def _ok(self, answer: tuple[int, Any]) -> Any:
        assert answer[0] < 300, answer
        return answer[1]


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
