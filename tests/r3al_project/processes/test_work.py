"""``work`` starts as many workers of some queues as are wanted, and refuses what it does not know."""

from __future__ import annotations

from typing import Any

import pytest

from r3al_project.processes import work
from r3al_project.processes.supervisor import Supervisor

pytestmark = pytest.mark.embedded  # knows neither database nor broker


def test_it_runs_each_worker_under_the_supervisor_and_kills_frozen_ones_after_a_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Any] = []

    def run(self: Supervisor) -> None:
        started.append(({c.name: c.argv[c.argv.index("--queues") + 1] for c in self._children}, self._patience))

    monkeypatch.setattr(Supervisor, "run", run)
    monkeypatch.setenv("R3AL_JOB_LEASE_SECONDS", "7")
    assert work.work_main(["--queues", "privacy,default", "--concurrency", "2"]) == 0
    names = {"privacy-default-1": "privacy,default", "privacy-default-2": "privacy,default"}
    assert started == [(names, 7.0)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--queues", "train,odd"], "there is no queue 'odd'; the queues are default, privacy, train, monitor"),
        (["--concurrency", "0"], "'0' is not a number of workers; give 1 or more"),
    ],
)
def test_what_it_does_not_know_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        work.work_main(arguments)
    assert said in capsys.readouterr().err


def test_a_wrong_lease_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("R3AL_JOB_LEASE_SECONDS", "soon")
    assert work.work_main([]) == 1
    assert capsys.readouterr().err == "work: R3AL_JOB_LEASE_SECONDS='soon' is not a number at least 0.5.\n"
