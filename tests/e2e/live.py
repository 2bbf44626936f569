"""A platform of real processes that are killed again and again, and a population that plays through its HTTP API."""

from __future__ import annotations

import http.client
import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r3al_project.processes import commands
from r3al_project.processes.supervisor import ends_with_parent
from tests.system import free_port, kill_group

PATIENCE = 60.0
SHORT = {
    "R3AL_JOB_LEASE_SECONDS": "3",
    "R3AL_JOB_HEARTBEAT_SECONDS": "1",
    "R3AL_JOB_GRACE_SECONDS": "2",
    "LOG_LEVEL": "WARNING",
}


class Platform:
    """Web, workers and beat, each started again at once when it dies."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self.port = free_port()
        self._env, self._folder = env, folder
        self._commands = {
            "web": commands.web(self.port),
            **commands.workers(),
            "beat": commands.beat(),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()
        self.deaths = 0
        for name in self._commands:
            self._start(name)
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._commands[name], env=self._env, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True, preexec_fn=ends_with_parent(signal.SIGKILL),
            )  # fmt: skip

    def _keep(self) -> None:
        while not self._stop.wait(0.1):
            for name, process in list(self._running.items()):
                if process.poll() is not None and not self._stop.is_set():
                    self._start(name)

    def kill(self, name: str) -> None:
        """SIGKILL to the process and all its children."""
        self.deaths += 1
        kill_group(self._running[name].pid)

    @contextmanager
    def dying(self, names: tuple[str, ...], every: float) -> Iterator[None]:
        """Meanwhile one of the named processes is killed every so many seconds."""
        over = threading.Event()

        def reap() -> None:
            chance = random.Random(1)
            while not over.wait(every):
                self.kill(chance.choice(names))

        reaper = threading.Thread(target=reap, daemon=True)
        reaper.start()
        try:
            yield
        finally:
            over.set()
            reaper.join()

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()[-3_000:]

    def stop(self) -> None:
        self._stop.set()
        self._keeper.join()
        for process in self._running.values():
            kill_group(process.pid)
            process.wait()


class Phone:
    """Sends requests until each is answered: what was acknowledged is all that counts."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._local = threading.local()

    def post(self, path: str, body: Mapping[str, Any], **headers: str) -> tuple[int, Any]:
        return self._send("POST", path, json.dumps(body), headers)

    def get(self, path: str) -> tuple[int, Any]:
        return self._send("GET", path, None, {})

    def _send(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> tuple[int, Any]:
        sent = {"Authorization": f"Token {self._token}", "Content-Type": "application/json", **headers}
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                connection = self._connection()
                connection.request(method, f"/api/v1/{path}", body, sent)
                response = connection.getresponse()
                told = response.read()
                if response.status < 500:
                    return response.status, json.loads(told) if told else None
            except (OSError, http.client.HTTPException):
                pass
            self._hang_up()
            time.sleep(0.05)
        raise TimeoutError(f"{method} {path} was not answered within {PATIENCE:g} s")

    def _hang_up(self) -> None:
        self._local.connection.close()
        self._local.connection = None

    def _connection(self) -> http.client.HTTPConnection:
        if getattr(self._local, "connection", None) is None:
            self._local.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        found: http.client.HTTPConnection = self._local.connection
        return found


def until(done: Callable[[], Any], seconds: float, say: Callable[[], str]) -> Any:
    """Wait for something true; what it is."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {say()}"
        time.sleep(0.2)
    return found
