"""The supervisor, with real processes: started together, restarted when they die, ended in order, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from r3al_project.processes.supervisor import Supervisor, _Child, _is_stopped
from tests.system import ROOT, is_alive

pytestmark = pytest.mark.embedded  # knows neither database nor broker

SLEEPS = "import time; time.sleep(60)"


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def notes_its_end(path: Path, name: str) -> list[str]:
    return python(
        "import signal, sys, time\n"
        f"def end(*_):\n    open({str(path)!r}, 'a').write({name!r} + ' '); sys.exit(0)\n"
        f"signal.signal(signal.SIGTERM, end); open({str(path.with_suffix('.' + name))!r}, 'w'); time.sleep(60)"
    )


def test_children_are_asked_to_end_and_all_are_gone(tmp_path: Path) -> None:
    supervisor, ends = Supervisor(), tmp_path / "ends"
    for name in ("web", "beat", "worker"):
        supervisor.add(name, notes_its_end(ends, name))
    supervisor.start()
    wait_until(lambda: all(ends.with_suffix(f".{n}").exists() for n in ("web", "beat", "worker")))
    pids = [supervisor.pid(name) for name in ("web", "beat", "worker")]
    supervisor.stop()
    assert sorted(ends.read_text().split()) == ["beat", "web", "worker"]
    assert not any(is_alive(pid) for pid in pids)


def test_a_child_that_dies_is_said_to_have_died_and_started_again() -> None:
    said: list[str] = []
    supervisor = Supervisor(say=said.append)
    supervisor.add("worker", python(SLEEPS))
    supervisor.start()
    first = supervisor.pid("worker")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.pid("worker") != first)
    supervisor.stop()
    assert said == ["worker was killed by SIGKILL; restarting it in 1 s"]


def test_a_child_that_dies_again_and_again_is_given_longer_pauses() -> None:
    said: list[str] = []
    supervisor = Supervisor(say=said.append)
    supervisor.add("web", python("raise SystemExit(3)"))
    supervisor.start()
    wait_until(lambda: len(said) >= 2)
    supervisor.stop()
    assert said[:2] == [
        "web ended with exit code 3; restarting it in 1 s",
        "web ended with exit code 3; restarting it in 2 s",
    ]


def test_a_child_that_will_not_end_is_killed_with_its_own_children(tmp_path: Path) -> None:
    said: list[str] = []
    grandchild = tmp_path / "pid"
    supervisor = Supervisor(grace=0.5, say=said.append)
    supervisor.add(
        "worker",
        python(
            "import signal, subprocess, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            f"child = subprocess.Popen([sys.executable, '-c', {SLEEPS!r}])\n"
            f"open({str(grandchild)!r}, 'w').write(str(child.pid)); time.sleep(60)"
        ),
    )
    supervisor.start()
    wait_until(lambda: grandchild.exists() and grandchild.read_text() != "")
    supervisor.stop()
    assert said == ["worker did not stop in time and is killed"]
    wait_until(lambda: not is_alive(int(grandchild.read_text())))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="parent-death signals are Linux's")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_its_supervisor(tmp_path: Path, end: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import sys; from pathlib import Path; from r3al_project.processes.supervisor import Supervisor\n"
        f"supervisor = Supervisor(); supervisor.add('worker', [sys.executable, '-c', {SLEEPS!r}])\n"
        f"supervisor.run(lambda: (Path({str(pid_file)!r}).write_text(str(supervisor.pid('worker'))), None)[1])"
    )
    process = subprocess.Popen(python(code), cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
    child = int(pid_file.read_text())
    process.send_signal(end)
    process.wait(timeout=10)
    wait_until(lambda: not is_alive(child))


STOPPED = "worker was stopped for 0.5 s and is killed"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("whom", ["itself", "a process that it started"])
def test_a_child_that_is_stopped_for_too_long_is_killed_and_started_again(whom: str) -> None:
    said: list[str] = []
    supervisor = Supervisor(patience=0.5, say=said.append)
    starts_another = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEPS!r}])"
    supervisor.add("worker", python(SLEEPS if whom == "itself" else starts_another))
    supervisor.start()
    first = stopped = supervisor.pid("worker")
    if whom != "itself":
        wait_until(lambda: Path(f"/proc/{first}/task/{first}/children").read_text() != "")
        stopped = int(Path(f"/proc/{first}/task/{first}/children").read_text())
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: supervisor.pid("worker") != first)
    supervisor.stop()
    assert said == [STOPPED, "worker was killed by SIGKILL; restarting it in 1 s"]
    assert not is_alive(first) and not is_alive(stopped)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_only_looks_in_a_row_count_so_a_child_that_goes_on_begins_anew() -> None:
    """A supervisor that was stopped together with its child has seen nothing meanwhile, and does not kill it when both go on."""
    said: list[str] = []
    supervisor = Supervisor(patience=2.0, say=said.append)
    child = _Child("worker", python(SLEEPS), None)
    child.start()
    for _ in range(2):
        os.kill(child.pids[-1], signal.SIGSTOP)
        wait_until(lambda: _is_stopped(child.pids[-1]))
        for _ in range(2):
            supervisor._kill_if_stopped(child)
        os.kill(child.pids[-1], signal.SIGCONT)
        wait_until(lambda: not _is_stopped(child.pids[-1]))
        supervisor._kill_if_stopped(child)
    assert child.is_running and said == []
    child.kill_rest()


def test_a_command_that_does_not_exist_ends_the_start_and_what_already_ran() -> None:
    supervisor = Supervisor()
    supervisor.add("web", python(SLEEPS))
    supervisor.add("worker", ["/no/such/program"])
    with pytest.raises(FileNotFoundError):
        supervisor.start()
    assert not is_alive(supervisor.pid("web"))
