"""Supervise several processes: start them together, restart them when they die, stop them on Ctrl-C. Standard library only.

Each child leads its own session, so that the terminal's Ctrl-C reaches only the supervisor and children stop in the order in
which they were added. When the supervisor vanishes (kill -9 included), the kernel sends each child a termination signal.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.1
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0  # a child that ran this long before it died is restarted without a pause
_LOOK_SECONDS = 1.0  # between two looks for a stopped child


def ends_with_parent(death_signal: int = signal.SIGTERM) -> Callable[[], None]:
    """Return a ``preexec_fn`` that makes the kernel send ``death_signal`` to the child when its starting thread ends (Linux)."""
    parent = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

    def prepare() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def _to_standard_error(text: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that was closed; the children must be stopped all the same
        print(text, file=sys.stderr, flush=True)  # noqa: T201


@dataclass
class _Child:
    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_at: float = 0.0
    deaths: int = 0
    stopped_looks: int = 0  # in a row
    pids: list[int] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.argv,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=2,  # standard output is reserved for the supervisor's own results
            start_new_session=True,
            preexec_fn=ends_with_parent(),
        )
        self.started = time.monotonic()
        self.stopped_looks = 0
        self.pids.append(self.process.pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child's main process only, which ends its own children."""
        if self.process is not None:
            self.process.send_signal(number)

    def kill_rest(self) -> None:
        """Kill the remaining processes of the child's session."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Supervisor:
    """Supervise children from one thread. ``add`` them in the order of stopping, then ``start`` and ``stop``, or ``run``.

    Args: grace: seconds that all children together have to stop before they are killed. The job of a killed worker is
    retried when its lease expires. patience: seconds after which a child that is stopped (SIGSTOP) is killed and restarted: it
    may hold the database's lock. say: prints a line for the user.
    """

    def __init__(
        self, *, grace: float = 30.0, patience: float = 30.0, say: Callable[[str], None] = _to_standard_error
    ) -> None:
        self._children: list[_Child] = []
        self._grace, self._patience, self._say = grace, patience, say
        self._look_at = 0.0
        self._stopping, self._kill_now, self._started = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="supervisor", daemon=True)
        self._start_error: OSError | None = None

    def add(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Add a child, to be started by ``start``. ``env`` replaces its environment."""
        self._children.append(_Child(name, list(argv), env))

    def start(self) -> None:
        """Start every child.

        Raises: OSError when one cannot be started, after stopping those that run.
        """
        self._thread.start()
        self._started.wait()
        if self._start_error is not None:
            self._thread.join()
            raise self._start_error

    def stop(self) -> None:
        """Stop every child in order and wait until all have ended."""
        self._stopping.set()
        self._thread.join()

    def pid(self, name: str) -> int:
        """Return the process id of a child's latest start."""
        return next(c for c in self._children if c.name == name).pids[-1]

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Start all children, call ``ready``, and stop on Ctrl-C, SIGTERM or SIGHUP. A second signal kills them at once."""

        def end(number: int, frame: object) -> None:
            if self._stopping.is_set():
                self._kill_now.set()
            self._stopping.set()

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            self.start()
            ready()
            while not self._stopping.wait(1.0):
                pass
            self._thread.join()
        finally:
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def is_stopping(self) -> bool:
        """Return whether the supervisor has begun to stop its children."""
        return self._stopping.is_set()

    # Everything below runs in the supervisor's thread. It starts every child and must outlive them all, because the kernel sends
    # the death signal when the starting thread ends.

    def _work(self) -> None:
        try:
            for child in self._children:
                child.start()
        except OSError as error:
            self._start_error = error
            self._stopping.set()
        self._started.set()
        while not self._stopping.wait(_POLL_SECONDS):
            for child in self._children:
                self._check(child)
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + _LOOK_SECONDS
                for child in self._children:
                    self._kill_if_stopped(child)
        self._end()

    def _check(self, child: _Child) -> None:
        if child.is_running:
            return
        if child.process is not None:
            self._handle_exit(child)
        if time.monotonic() >= child.start_at:
            try:
                child.start()
            except OSError as error:
                child.start_at = time.monotonic() + _LONGEST_PAUSE
                self._say(f"{child.name} cannot be started: {error.strerror}; retrying in {_LONGEST_PAUSE:.0f} s")

    def _kill_if_stopped(self, child: _Child) -> None:
        """Kill a child that was stopped at every look for so long. Looks are counted: this process may have been stopped too."""
        if child.process is None or not child.is_running or not _is_stopped(child.process.pid):
            child.stopped_looks = 0
            return
        child.stopped_looks += 1
        if child.stopped_looks * _LOOK_SECONDS > self._patience:
            self._say(f"{child.name} was stopped for {self._patience:g} s and is killed")
            child.kill_rest()

    def _handle_exit(self, child: _Child) -> None:
        assert child.process is not None
        child.kill_rest()
        runtime = time.monotonic() - child.started
        child.deaths = 0 if runtime > _STEADY_SECONDS else child.deaths + 1
        pause = min(2.0 ** (child.deaths - 1), _LONGEST_PAUSE) if child.deaths else 0.0
        child.start_at = time.monotonic() + pause
        self._say(f"{child.name} {_exit_reason(child.process.returncode)}; restarting it in {pause:.0f} s")
        child.process = None

    def _end(self) -> None:
        deadline = time.monotonic() + self._grace
        for child in self._children:
            if child.is_running:
                child.send(signal.SIGTERM)
        while self._alive() and time.monotonic() < deadline and not self._kill_now.is_set():
            time.sleep(_POLL_SECONDS / 2)
        for child in self._alive():
            self._say(f"{child.name} did not stop in time and is killed")
        for child in self._children:
            child.kill_rest()

    def _alive(self) -> list[_Child]:
        return [c for c in self._children if c.is_running]


def _is_stopped(pid: int) -> bool:
    """Return whether a process, or one that it started, is stopped (SIGSTOP). Only Linux says so; elsewhere none is."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        started = [file.read_text().split() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has ended
        return False
    return state == "T" or any(_is_stopped(int(child)) for children in started for child in children)


def _exit_reason(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
