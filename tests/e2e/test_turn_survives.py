"""A turn whose workers are killed with SIGKILL in the middle of its stages: it ends once, and nothing is done twice.

Real workers, the real broker and database of the stack under test. The noise has no seed. A turn of the walks loop passes
both gates with so much room that "kept" is rare; the books are checked alike either way, and a deployment is asked for only
where the gate passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Count, F, Sum

from deployments.models import Deployment, ServingSlot
from jobs.models import Job
from jobs.services import jobs_reconcile
from privacy.models import Choice, Decision, LedgerEntry, Person, PrivacyBudget, Purpose, Release, RewardSignal
from r3al_project.processes import commands
from r3al_project.turns.models import Turn
from r3al_project.turns.services import turn_parameters, turn_settle, turn_start
from r3al_project.turns.stages import STAGES
from tests.e2e.dying import plan
from tests.factories.walks import walks_csv, walks_loop
from tests.stack import Stack, Worker
from training.models import GateVerdict, ModelVersion, SyntheticJob, TrainingDataPool, TrainingEpisode

PEOPLE, DAYS, POINTS = 600, 5, 2
ROWS = PEOPLE * DAYS * POINTS
SHORT = {"R3AL_JOB_LEASE_SECONDS": "1", "R3AL_JOB_HEARTBEAT_SECONDS": "0.3", "LOG_LEVEL": "WARNING"}


class MortalWorker(Worker):
    """A worker that kills itself by plan, and is started again by whoever looks after it."""

    deaths = 0

    def start(self) -> None:
        self._command = [*commands.worker(), "--include", "tests.e2e.dying"]
        super().start()

    def look_after(self) -> None:
        if not self.is_running:
            self.deaths += 1
            self.start()


@pytest.fixture
def turn(transactional_db: None, stack: Stack, tmp_path: Path, settings: Any) -> Turn:
    """A turn of the walks loop that nobody has begun yet."""
    settings.R3AL_JOB_GRACE_SECONDS = 1.0
    settings.R3AL_JOB_LEASE_SECONDS = 1.0
    stack.clear_broker()
    file = walks_csv(tmp_path / "walks.csv", people=PEOPLE, days=DAYS)
    parameters = turn_parameters(source=file, consents=[Purpose.TRAINING, Purpose.EVALUATION])
    return turn_start(actor="ann", loop_version=walks_loop(tmp_path), parameters=parameters)


@pytest.fixture
def mortals(stack: Stack, turn: Turn, tmp_path: Path) -> Iterator[Callable[..., list[MortalWorker]]]:
    """Two workers under one plan of deaths."""
    workers: list[MortalWorker] = []

    def begin(*deaths: str) -> list[MortalWorker]:
        env = {**stack.environment(), **SHORT, **plan(tmp_path / "deaths", deaths)}
        workers.extend(MortalWorker(env, tmp_path / f"mortal-{i}.log") for i in range(2))
        return workers

    yield begin
    for worker in workers:
        worker.kill()


def live_through(turn: Turn, workers: list[MortalWorker], seconds: float) -> Turn:
    """Play supervisor and beat until the turn ends."""
    end = time.monotonic() + seconds
    while (turn := turn_settle(turn=turn)).outcome == Turn.Outcome.RUNNING:
        for worker in workers:
            worker.look_after()
        jobs_reconcile()
        assert time.monotonic() < end, f"not within {seconds:g} s; {_where(turn)}; {workers[0].log.read_text()[-2000:]}"
        time.sleep(0.1)
    return turn


def _where(turn: Turn) -> list[Any]:
    return list(turn.stages.values_list("name", "job__state", "job__starts", "job__error"))


def check_ended_once(turn: Turn) -> None:
    assert turn.outcome in (Turn.Outcome.DEPLOYED, Turn.Outcome.KEPT), turn.reason
    assert turn.finished_at is not None
    assert list(turn.stages.order_by("id").values_list("name", "job__state")) == [(name, "done") for name in STAGES]
    assert Job.objects.count() == len(STAGES)
    assert not Job.objects.exclude(lease_token="", lease_until=None).exists()


def check_rows_are_there_once() -> None:
    assert Person.objects.count() == PEOPLE
    assert [m.objects.count() for m in (Decision, Choice, RewardSignal)] == [ROWS] * 3


def check_books_balance(passed_model_gate: bool) -> None:
    """Everybody who trains paid the training release once, everybody who judges the evaluation once, nobody both."""
    releases = {r.purpose: r for r in Release.objects.all()}
    assert set(releases) == ({"training", "evaluation"} if passed_model_gate else {"training"})
    assert Release.objects.count() == len(releases)
    assert {r.state for r in releases.values()} == {"committed"}
    rounds = {purpose: sorted(r.rounds.values_list("index", flat=True)) for purpose, r in releases.items()}
    assert rounds == ({"training": [0, 1, 2], "evaluation": [0]} if passed_model_gate else {"training": [0, 1, 2]})
    paid = LedgerEntry.objects.values("person").annotate(times=Count("id"))
    assert {p["times"] for p in paid} == {1}
    if passed_model_gate:
        assert len(paid) == PEOPLE
    entries = LedgerEntry.objects.aggregate(cost=Sum("policy_cost"), rho=Sum("rho"))
    spent = PrivacyBudget.objects.aggregate(cost=Sum("spent_lifetime"), rho=Sum("rho_spent"))
    assert entries == spent
    assert not PrivacyBudget.objects.exclude(spent_lifetime=F("spent_day")).exists()


def check_one_candidate(turn: Turn) -> None:
    learned = ModelVersion.objects.exclude(kind="reference")
    assert [learned.count(), GateVerdict.objects.count(), SyntheticJob.objects.count()] == [1, 1, 1]
    assert TrainingEpisode.objects.count() == 32
    pool = TrainingDataPool.objects.aggregate(rows=Sum("rows"))["rows"]
    assert pool == SyntheticJob.objects.get().summary["rows"]
    deployed = turn.outcome == Turn.Outcome.DEPLOYED
    assert deployed == (GateVerdict.objects.get().verdict == "pass")
    slot = ServingSlot.objects.select_related("stable").get()
    begun = int(deployed or slot.candidate_id is not None)  # what the evidence leaves open is tried
    assert Deployment.objects.count() == begun and slot.generation == 1 + begun
    assert (slot.stable == learned.get()) == deployed


def check_everything(turn: Turn) -> None:
    check_ended_once(turn)
    check_rows_are_there_once()
    check_books_balance(passed_model_gate=bool(turn.stages.get(name="train").summary["model_gate"]))
    check_one_candidate(turn)


ONCE_A_STAGE = (
    "collect.report", "release.report.3", "synthesize.write", "train.report", "evaluate.write", "deploy.write"
)  # fmt: skip
EVERYWHERE = {
    "early": (
        "collect.report.2", "collect.return", "release.report.1", "release.report.2", "release.write",
        "synthesize.return", "train.report.2", "train.write", "evaluate.report.1", "evaluate.report.2",
        "deploy.return", "deploy.write",
    ),
    "late": (
        "collect.report.1", "collect.report.3", "collect.write", "release.report.3", "release.report.4",
        "release.return", "synthesize.write", "train.report.1", "train.return", "evaluate.report.3",
        "evaluate.report.4", "evaluate.return", "evaluate.write", "deploy.return",
    ),
}  # fmt: skip


def died_as_planned(workers: list[MortalWorker], folder: Path, deaths: tuple[str, ...], turn: Turn) -> None:
    """Every planned death happened, those apart that only a candidate which passed its model gate comes to."""
    left = {path.name for path in folder.iterdir()}
    if turn.stages.get(name="train").summary["model_gate"]:
        assert left == set()
        assert sum(w.deaths for w in workers) >= len(deaths) - 1  # the last one may lie unnoticed
    else:
        assert all(name.startswith("evaluate.report") for name in left)


def test_a_worker_killed_once_in_every_stage(mortals: Any, turn: Turn, tmp_path: Path) -> None:
    workers = mortals(*ONCE_A_STAGE)
    turn = live_through(turn, workers, 120)
    died_as_planned(workers, tmp_path / "deaths", ONCE_A_STAGE, turn)
    check_everything(turn)


@pytest.mark.slow
@pytest.mark.parametrize("when", EVERYWHERE)
def test_a_worker_killed_at_every_point(mortals: Any, turn: Turn, tmp_path: Path, when: str) -> None:
    workers = mortals(*EVERYWHERE[when])
    turn = live_through(turn, workers, 240)
    died_as_planned(workers, tmp_path / "deaths", EVERYWHERE[when], turn)
    check_everything(turn)


@pytest.mark.slow
def test_a_worker_killed_from_outside(start_worker: Any, turn: Turn) -> None:
    """It is killed as soon as each stage is seen running."""
    worker = start_worker(**SHORT)
    killed: set[str] = set()
    end = time.monotonic() + 240
    while (turn := turn_settle(turn=turn)).outcome == Turn.Outcome.RUNNING:
        stage = turn.stages.order_by("-id")[0]
        if stage.name not in killed and Job.objects.filter(pk=stage.job_id, state="running").exists():
            worker.kill()
            killed.add(stage.name)
        if not worker.is_running:
            worker.start()
        jobs_reconcile()
        assert time.monotonic() < end, _where(turn)
        time.sleep(0.005)
    assert {"collect", "release", "train"} <= killed, "the long stages were never caught, so this run shows little"
    check_everything(turn)
