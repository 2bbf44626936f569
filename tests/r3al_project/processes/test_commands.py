"""The command lines of the platform's processes: every queue has one worker, and what watches has one of its own."""

from __future__ import annotations

import re

from jobs.queues import QUEUES
from r3al_project.processes import commands
from tests import newer_python
from tests.system import ROOT


def queues_of(argv: list[str]) -> list[str]:
    return argv[argv.index("--queues") + 1].split(",")


def test_the_workers_share_all_queues_and_no_two_have_the_same() -> None:
    found = {name: queues_of(argv) for name, argv in commands.workers(concurrency=1).items()}
    assert sorted(q for queues in found.values() for q in queues) == sorted(QUEUES)
    assert found["monitor"] == ["monitor"]
    assert found["notices"] == ["notices"], "it waits for other machines"


def test_each_worker_is_one_process_under_a_name_of_its_own() -> None:
    """Processes of one pool would share locks, which a killed one keeps."""
    found = commands.workers(concurrency=3)
    assert list(found) == ["worker-1", "worker-2", "worker-3", "monitor", "notices"]
    assert all(argv[argv.index("--pool") + 1] == "solo" for argv in found.values())
    assert [argv[argv.index("--hostname") + 1] for argv in found.values()] == [f"{name}@%h" for name in found]


def test_production_starts_the_same_workers_and_keeps_the_watching_apart_too() -> None:
    procfile, compose = (ROOT / "Procfile").read_text(), (ROOT / "compose.yaml").read_text()
    starts = re.findall(r"r3al_project\.processes\.work --queues (\S+)", procfile)
    assert starts == ["privacy,default", "train", "monitor", "notices"] and "celery" in procfile
    assert re.findall(r'"r3al_project\.processes\.work", "--queues", "(\S+)"', compose) == starts
    for text in (procfile, compose):
        assert not re.search(r"celery.*worker", text), "a worker that nobody restarts"
    assert sorted(",".join(starts).split(",")) == sorted(QUEUES)


def test_the_broker_in_compose_is_free_software_that_keeps_what_it_acknowledged() -> None:
    compose = (ROOT / "compose.yaml").read_text()
    assert "image: valkey/valkey:" in compose and "image: redis" not in compose
    assert '"valkey-server", "--appendonly", "yes", "--maxmemory-policy", "noeviction"' in compose
    assert "REDIS_URL: redis://valkey:6379/0" in compose and "valkey: {condition: service_healthy}" in compose


def test_the_container_runs_the_python_on_which_the_engines_are_tested_too() -> None:
    assert f"FROM python:{newer_python.VERSION}-slim" in (ROOT / "Dockerfile").read_text()
    assert "tests.newer_python" in (ROOT / ".ci" / "run").read_text()


def test_production_serves_the_web_as_this_machine_does() -> None:
    """Under the WSGI interface a body would be read in a thread, and slow clients would take them all."""
    web = commands.web(8000)
    assert web[-1] == "r3al_project.rsgi:application" and web[web.index("--interface") + 1] == "rsgi"
    assert "--interface rsgi" in (ROOT / "Procfile").read_text()
    image = (ROOT / "Dockerfile").read_text()
    assert '"--interface", "rsgi"' in image and all(
        web[-1] in text for text in (image, (ROOT / "Procfile").read_text())
    )
