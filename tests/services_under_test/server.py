"""What both servers share: a process of our own in a temporary folder on a free port, that never outlives us."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

from r3al_project.processes.supervisor import ends_with_parent
from tests.system import free_port


class NotAvailable(Exception):
    """No server of this kind can be had; the text says what was tried."""


class Server(ABC):
    """``start`` and ``stop``, and what fault tests do to a server: ``kill`` and ``start`` again, with the same data and port."""

    name = ""
    death_signal = signal.SIGKILL

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=f"r3al-{self.name.lower()}-"))
        self.port = free_port()
        self.user = unprivileged_user()
        self.version = ""
        self._process: subprocess.Popen[bytes] | None = None
        if self.user:
            os.chown(self.home, self.user.pw_uid, self.user.pw_gid)

    @property
    @abstractmethod
    def url(self) -> str:
        """What goes into DATABASE_URL or REDIS_URL."""

    @abstractmethod
    def command(self) -> list[str]:
        """The server's command line."""

    @abstractmethod
    def ask_version(self) -> str:
        """The running server's version. Raises whatever its client raises while it is not ready."""

    def prepare(self) -> None:
        """What must be done once, before the first start."""
        return

    def start(self) -> Self:
        """Start and wait until it answers. Raises NotAvailable when it does not."""
        try:
            if not self.version:
                self.prepare()
            self._wait(again=bool(self.version))
        except BaseException:
            self.stop()
            raise
        return self

    def kill(self) -> None:
        """End it at once, as a power cut would; the data stays."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it and remove everything."""
        self._end(self.death_signal)
        shutil.rmtree(self.home, ignore_errors=True)

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a process as an unprivileged user, writing into the log, ended by the kernel when this process ends."""
        options: dict[str, Any] = {}
        if self.user:
            options = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=ends_with_parent(self.death_signal),
                **options,
            )

    @property
    def log(self) -> Path:
        return self.home / "log"

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(timeout=30)

    def _wait(self, *, again: bool, seconds: float = 30.0) -> None:
        """Start until it answers; after a kill it may refuse until the last of its old processes is gone."""
        self._process = self.spawn(self.command())
        end, error = time.monotonic() + seconds, None
        while time.monotonic() < end and (again or self._process.poll() is None):
            try:
                self.version = self.ask_version()
                return
            except Exception as raised:  # each client has exceptions of its own
                error = raised
                time.sleep(0.05)
            if self._process.poll() is not None and again:
                self._process = self.spawn(self.command())
        raise NotAvailable(f"{self.name} does not answer ({error}); its log ends with:\n{self.log.read_text()[-2000:]}")


def unprivileged_user() -> pwd.struct_passwd | None:
    """``nobody`` for root (PostgreSQL refuses to run as root), else None: we run as ourselves."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def reachable(path: Path, user: pwd.struct_passwd | None) -> bool:
    """Whether the user may enter every folder above a path."""
    return user is None or all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)
