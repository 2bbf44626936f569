"""The command lines of the platform's processes: every queue has one worker, and what watches has one of its own."""

from __future__ import annotations

from jobs.queues import QUEUES
from r3al_project.processes import commands
from tests.system import ROOT


def queues_of(argv: list[str]) -> list[str]:
    return argv[argv.index("--queues") + 1].split(",")


def test_the_workers_share_all_queues_and_no_two_have_the_same() -> None:
    found = {name: queues_of(argv) for name, argv in commands.workers(concurrency=3).items()}
    assert sorted(q for queues in found.values() for q in queues) == sorted(QUEUES)
    assert found["monitor"] == ["monitor"]


def test_only_the_long_jobs_worker_runs_more_than_one_at_once() -> None:
    at_once = {name: argv[argv.index("--concurrency") + 1] for name, argv in commands.workers(concurrency=3).items()}
    assert at_once == {"worker": "3", "monitor": "1"}


def test_production_keeps_the_watching_apart_too() -> None:
    procfile = (ROOT / "Procfile").read_text()
    assert "worker -Q monitor --concurrency 1" in procfile and "-Q privacy,default" in procfile
    assert '"-Q", "monitor"' in (ROOT / "compose.yaml").read_text()


def test_production_serves_the_web_as_this_machine_does() -> None:
    """Under the WSGI interface a body would be read in a thread, and slow clients would take them all."""
    web = commands.web(8000)
    assert web[-1] == "r3al_project.rsgi:application" and web[web.index("--interface") + 1] == "rsgi"
    assert "--interface rsgi" in (ROOT / "Procfile").read_text()
    image = (ROOT / "Dockerfile").read_text()
    assert '"--interface", "rsgi"' in image and all(
        web[-1] in text for text in (image, (ROOT / "Procfile").read_text())
    )
