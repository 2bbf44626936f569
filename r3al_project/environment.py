"""Reading the environment strictly: each function returns a setting, or says in one sentence which variable is wrong."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from core.atomic_files import atomic_file
from core.errors import Conflict, InputError

Environment = Mapping[str, str]
EXAMPLES = {"your-secret-salt-here", "change-me", "embedded-only-change-me"}
SECRET_LENGTH = 32
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def text(env: Environment, name: str, default: str = "") -> str:
    """A variable without surrounding blanks; an empty one counts as not set."""
    return env.get(name, "").strip() or default


def switch(env: Environment, name: str, default: bool) -> bool:
    """yes or no, in the usual spellings."""
    given = text(env, name)
    if not given:
        return default
    if given.lower() not in _WORDS:
        raise ImproperlyConfigured(f"{name}={given!r} is neither yes nor no; write true or false")
    return _WORDS[given.lower()]


def number(env: Environment, name: str, default: float, *, low: float, high: float = math.inf) -> float:
    """A finite number in [low, high]."""
    given = text(env, name)
    try:
        value = float(given) if given else default
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and low <= value <= high):
        bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise ImproperlyConfigured(f"{name}={given!r} is not a number {bounds}")
    return value


def whole(env: Environment, name: str, default: int, *, low: int) -> int:
    """A whole number of at least ``low``."""
    value = number(env, name, default, low=low)
    if value != int(value):
        raise ImproperlyConfigured(f"{name}={text(env, name)!r} is not a whole number of at least {low}")
    return int(value)


def one_of(env: Environment, name: str, default: str, known: tuple[str, ...]) -> str:
    """One of a few words."""
    value = text(env, name, default)
    if value not in known:
        raise ImproperlyConfigured(f"{name}={value!r} is not known; write one of {', '.join(known)}")
    return value


def words(env: Environment, name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A list separated by commas."""
    return [w.strip() for w in text(env, name).split(",") if w.strip()] or list(default)


def folder(path: Path) -> Path:
    """The path of a folder that exists from now on, readable by its owner alone when it is made here."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ImproperlyConfigured(f"the folder {path} cannot be made: {error.strerror}; set R3AL_VAR_DIR") from None
    return path


def secret(env: Environment, name: str, *, embedded_file: Path | None) -> str:
    """A secret of at least 32 characters. The embedded default makes one up at its first start and keeps it in a file."""
    given = text(env, name)
    if embedded_file is not None:
        return given or _kept(embedded_file)
    if not given or given in EXAMPLES or len(given) < SECRET_LENGTH:
        raise ImproperlyConfigured(
            f"{name} is {'missing' if not given else 'an example or too short'}; with DATABASE_URL or REDIS_URL set it must be "
            f"a secret of at least {SECRET_LENGTH} characters (python3 -c 'import secrets; print(secrets.token_urlsafe(48))')"
        )
    return given


def master_keys(env: Environment, name: str, *, embedded_file: Path | None) -> dict[int, str]:
    """Versions of a master secret, ``1:SECRET,2:SECRET``: all can open, the highest seals. Made up and kept as a secret is."""
    given = text(env, name)
    if not given and embedded_file is not None:
        return {1: _kept(embedded_file)}
    found: dict[int, str] = {}
    for item in filter(None, (part.strip() for part in given.split(","))):
        version, _, value = item.partition(":")
        known = version.isdecimal() and 1 <= int(version) < 1 << 15 and int(version) not in found
        if not known or len(value) < SECRET_LENGTH:
            raise ImproperlyConfigured(
                f"{name} cannot be read; expected 1:SECRET or 1:SECRET,2:SECRET, with numbers from 1 that differ and secrets of "
                f"at least {SECRET_LENGTH} characters"
            )
        found[int(version)] = value
    if not found:
        raise ImproperlyConfigured(
            f"{name} is missing; with DATABASE_URL or REDIS_URL set it must be 1:SECRET, the secret of at least "
            f"{SECRET_LENGTH} characters (python3 -c 'import secrets; print(\"1:\" + secrets.token_urlsafe(48))')"
        )
    return found


def _kept(path: Path) -> str:
    """Written whole under another name and linked, so that processes that start together read the same secret."""
    try:
        if not path.exists():
            with atomic_file(path) as file:
                file.write(secrets.token_urlsafe(48))
    except (InputError, Conflict) as error:
        if not path.exists():  # else another process was faster, and this one reads what it wrote
            raise ImproperlyConfigured(f"the secret in {path} cannot be kept: {error}") from None
    try:
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(f"the secret in {path} cannot be read: {error.strerror}") from None


def database(env: Environment, var_dir: Path) -> dict[str, Any]:
    """Django's description of ``DATABASE_URL``: PostgreSQL, or SQLite in ``var_dir`` when it is not set.

    SQLite takes its write lock when a transaction begins, so that two writers wait for each other (20 s) and never deadlock;
    what it committed is on the disk (an acknowledged decision must survive a loss of power).
    PostgreSQL connections are checked before use; each thread of a web process and each worker process keeps its own.
    """
    url = text(env, "DATABASE_URL", f"sqlite:///{var_dir / 'r3al.sqlite3'}")
    scheme = url.partition(":")[0]
    if scheme not in ("postgres", "postgresql", "sqlite"):
        raise ImproperlyConfigured(
            f"DATABASE_URL starts with {scheme!r}; expected postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:///PATH"
        )
    try:
        described: dict[str, Any] = environ.Env.db_url_config(url)
    except Exception:  # whatever the parser raises may quote the password
        described = {}
    if not described.get("NAME"):
        raise ImproperlyConfigured("DATABASE_URL cannot be read; expected postgresql://USER:PASSWORD@HOST:PORT/NAME")
    options: dict[str, Any] = described.setdefault("OPTIONS", {})
    if scheme == "sqlite":
        options |= {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
        return described
    options.setdefault("connect_timeout", 10)
    options["prepare_threshold"] = 0  # of the statements of common.prepared; Django's own cursors never prepare
    return described | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


def broker(env: Environment, var_dir: Path) -> tuple[str, dict[str, Any]]:
    """Celery's broker URL and its transport options: Redis from ``REDIS_URL``, or folders in ``var_dir`` when it is not set."""
    url = text(env, "REDIS_URL")
    if not url:
        messages, control = folder(var_dir / "broker" / "messages"), folder(var_dir / "broker" / "control")
        return "filesystem://", {
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(control),
            "polling_interval": 0.1,
        }
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path):
        raise ImproperlyConfigured("REDIS_URL cannot be read; expected redis://HOST:PORT/NUMBER")
    return url, {
        # A job's row, not its message, says whether it is done: redelivery while it still runs finds the lease taken.
        "visibility_timeout": 300,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 10,
        "socket_keepalive": True,
        "health_check_interval": 30,
    }
