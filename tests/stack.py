"""Which stack is under test, and a real worker process on it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.db import connection

from r3al_project.processes import commands
from r3al_project.processes.supervisor import ends_with_parent
from tests.system import free_port, kill_group

PATIENCE = 60.0


@dataclass(frozen=True)
class Stack:
    """``embedded`` (SQLite, folders) or ``production`` (PostgreSQL, Redis), as the settings say."""

    name: str

    @property
    def is_production(self) -> bool:
        return self.name == "production"

    @property
    def database_url(self) -> str:
        """The test database, for another process; ask only in a test that uses the database."""
        d = connection.settings_dict
        if connection.vendor == "sqlite":
            return f"sqlite:///{d['NAME']}"
        return f"postgresql://{quote(d['USER'])}:{quote(d['PASSWORD'])}@{d['HOST']}:{d['PORT']}/{d['NAME']}"

    @property
    def broker_url(self) -> str:
        return str(settings.CELERY_BROKER_URL)

    def environment(self) -> dict[str, str]:
        """For another process that works on the same database and broker."""
        return {**os.environ, "DATABASE_URL": self.database_url}

    def clear_broker(self) -> None:
        """Forget the messages that earlier tests rang."""
        if self.is_production:
            import redis

            with redis.Redis.from_url(self.broker_url) as client:
                client.flushdb()
        else:
            for message in Path(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"]).iterdir():
                message.unlink(missing_ok=True)


@contextmanager
def web_processes(stack: Stack, log: Path, *, workers: int, application: str = "", **env: str) -> Iterator[int]:
    """Web processes as they are served, on the test's database; their port. ``application``: what is served instead."""
    port = free_port()
    command = commands.web(port, workers=workers)
    with log.open("wb") as out:
        web = subprocess.Popen(
            [*command[:-1], application or command[-1]], env={**stack.environment(), **env}, stdout=out, stderr=out,
            start_new_session=True, preexec_fn=ends_with_parent(signal.SIGKILL),
        )  # fmt: skip
    try:
        end = time.monotonic() + PATIENCE
        while not _is_healthy(port):
            assert web.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield port
    finally:
        kill_group(web.pid)
        web.wait(timeout=20)


def _is_healthy(port: int) -> bool:
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
    except OSError:
        return False


class Worker:
    """A real Celery worker process on the test's database and broker, in a session of its own."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self._env, self.log = env, log
        self._command = commands.worker()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it (again)."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=settings.BASE_DIR,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=ends_with_parent(signal.SIGKILL),
            )

    def kill(self) -> None:
        """SIGKILL to it and all its children."""
        kill_group(self.pid)
        self._wait()

    def stop(self, seconds: float = 20.0) -> None:
        """A warm shutdown, as an operator would; killed when it takes too long."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._wait(seconds)
        self.kill()

    def wait_until(self, holds: Callable[[], bool], seconds: float = 30.0) -> None:
        """Until a condition holds. Fails with the worker's log when the worker is gone or the time is over."""
        end = time.monotonic() + seconds
        while not holds():
            assert self.is_running, f"the worker ended; its log:\n{self.log.read_text()[-4000:]}"
            assert time.monotonic() < end, (
                f"not within {seconds:g} s; the worker's log:\n{self.log.read_text()[-4000:]}"
            )
            time.sleep(0.05)

    def _wait(self, seconds: float = 20.0) -> None:
        assert self._process is not None
        self._process.wait(timeout=seconds)
