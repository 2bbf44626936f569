"""Read environment variables strictly. Each function returns a setting or raises ImproperlyConfigured naming the variable."""

from __future__ import annotations

import ipaddress
import math
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

from core.atomic_files import atomic_file
from core.clock import clock_follow
from core.errors import Conflict, InputError

Environment = Mapping[str, str]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
EXAMPLES = {"your-secret-salt-here", "change-me", "embedded-only-change-me"}
SECRET_LENGTH = 32
_OTHERS = 0o077
_EMBEDDED_FILES = ("*.sqlite3*", "secret-key", "salt", "master-key", "broker", "broker/*", "rejects", "static", "demo")
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def text(env: Environment, name: str, default: str = "") -> str:
    """Read a variable without surrounding blanks. An empty variable counts as not set."""
    return env.get(name, "").strip() or default


def switch(env: Environment, name: str, default: bool) -> bool:
    """Read yes or no in the usual spellings."""
    given = text(env, name)
    if not given:
        return default
    if given.lower() not in _WORDS:
        raise ImproperlyConfigured(f"{name}={given!r} is neither yes nor no; write true or false")
    return _WORDS[given.lower()]


def number(env: Environment, name: str, default: float, *, low: float, high: float = math.inf) -> float:
    """Read a finite number in [low, high]."""
    given = text(env, name)
    try:
        value = float(given) if given else default
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and low <= value <= high):
        bounds = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise ImproperlyConfigured(f"{name}={given!r} is not a number {bounds}")
    return value


def lease_seconds(env: Environment) -> float:
    """Read how long a worker's lease on a job lasts without a renewal, in seconds."""
    return number(env, "R3AL_JOB_LEASE_SECONDS", 30.0, low=0.5)


def whole(env: Environment, name: str, default: int, *, low: int) -> int:
    """Read a whole number of at least ``low``."""
    value = number(env, name, default, low=low)
    if value != int(value):
        raise ImproperlyConfigured(f"{name}={text(env, name)!r} is not a whole number of at least {low}")
    return int(value)


def clock_file(env: Environment, name: str) -> str:
    """Read the file that sets the clock back, and let this process follow it. An empty variable leaves the machine's clock."""
    given = text(env, name)
    try:
        clock_follow(Path(given) if given else None)
    except InputError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None
    return given


def one_of(env: Environment, name: str, default: str, known: tuple[str, ...]) -> str:
    """Read one of the known words."""
    value = text(env, name, default)
    if value not in known:
        raise ImproperlyConfigured(f"{name}={value!r} is not a known value; write one of {', '.join(known)}")
    return value


def web_address(env: Environment, name: str) -> str:
    """Read an address that begins with http:// or https://, or nothing."""
    given = text(env, name)
    if given and (urlsplit(given).scheme not in ("http", "https") or not urlsplit(given).hostname):
        raise ImproperlyConfigured(f"{name} is not a web address; write https://HOST/PATH, or leave it empty")
    return given


def beside(env: Environment, name: str, *others: str) -> list[str]:
    """Read variables that are needed where ``name`` is set."""
    missing = [other for other in others if text(env, name) and not text(env, other)]
    if missing:
        raise ImproperlyConfigured(
            f"{name} is set, so {' and '.join(missing)} must be set too; or leave all of them empty"
        )
    return [text(env, other) for other in others]


def words(env: Environment, name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Read a comma-separated list."""
    return [w.strip() for w in text(env, name).split(",") if w.strip()] or list(default)


def networks(env: Environment, name: str) -> list[Network]:
    """Read a comma-separated list of networks, such as 10.0.0.0/8 or 127.0.0.1."""
    try:
        return [ipaddress.ip_network(word) for word in words(env, name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} cannot be read: {error}; write networks such as 10.0.0.0/8") from None


def addresses(env: Environment, name: str) -> list[str]:
    """Read a comma-separated list of e-mail addresses."""
    found = words(env, name)
    for address in found:
        try:
            validate_email(address)
        except ValidationError:
            raise ImproperlyConfigured(f"{name}: {address!r} is not an e-mail address") from None
    return found


def mail(env: Environment, name: str) -> dict[str, Any]:
    """Return Django's settings of how mail is sent: by ``smtp+tls://USER:PASSWORD@HOST:PORT`` or the like, or not at all."""
    url = text(env, name)
    if not url:
        return {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    try:
        return dict(environ.Env.email_url_config(url))
    except Exception:  # the parser's messages may quote the password
        raise ImproperlyConfigured(
            f"{name} cannot be read; expected smtp+tls://USER:PASSWORD@HOST:PORT, smtp+ssl:// or smtp://"
        ) from None


def folder(path: Path) -> Path:
    """Create a folder if it does not exist, readable by its owner only, and return its path."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ImproperlyConfigured(f"the folder {path} cannot be created: {error.strerror}; set R3AL_VAR_DIR") from None
    return path


def var_folder(env: Environment, base: Path) -> Path:
    """Return the folder of everything that this installation stores: ``R3AL_VAR_DIR``, or ``var`` beside the program."""
    return folder(Path(text(env, "R3AL_VAR_DIR", str(base / "var"))).resolve())


def private_files(folder: Path) -> None:
    """Keep everything that this process writes, and what the embedded stack wrote into ``folder`` before, to its owner.

    A process may be started under any umask, and earlier versions left files that others could read.
    """
    os.umask(_OTHERS)
    found = [folder, *(path for pattern in _EMBEDDED_FILES for path in folder.glob(pattern))]
    for path in found:
        status = path.stat()
        if status.st_uid == os.geteuid() and status.st_mode & _OTHERS and not status.st_mode & stat.S_ISVTX:
            path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)


def secret(env: Environment, name: str, *, embedded_file: Path | None) -> str:
    """Read a secret of at least 32 characters.

    Args: embedded_file: where the embedded default stores the secret that it generates at its first start. None in
    production, where the variable must be set.
    """
    given = text(env, name)
    if embedded_file is not None:
        return given or _stored_secret(embedded_file)
    if not given or given in EXAMPLES or len(given) < SECRET_LENGTH:
        raise ImproperlyConfigured(
            f"{name} is {'missing' if not given else 'an example or too short'}; with DATABASE_URL or REDIS_URL set it must be "
            f"a secret of at least {SECRET_LENGTH} characters (python3 -c 'import secrets; print(secrets.token_urlsafe(48))')"
        )
    return given


def master_keys(env: Environment, name: str, *, embedded_file: Path | None) -> dict[int, str]:
    """Read the versions of a master secret, ``1:SECRET,2:SECRET``. All versions decrypt, and the highest encrypts.

    Args: embedded_file: where the embedded default stores the secret that it generates. None in production.
    """
    given = text(env, name)
    if not given and embedded_file is not None:
        return {1: _stored_secret(embedded_file)}
    keys: dict[int, str] = {}
    for item in filter(None, (part.strip() for part in given.split(","))):
        version, _, value = item.partition(":")
        valid = version.isdecimal() and 1 <= int(version) < 1 << 15 and int(version) not in keys
        if not valid or len(value) < SECRET_LENGTH:
            raise ImproperlyConfigured(
                f"{name} cannot be read; expected 1:SECRET or 1:SECRET,2:SECRET, with different numbers from 1 and secrets of "
                f"at least {SECRET_LENGTH} characters"
            )
        keys[int(version)] = value
    if not keys:
        raise ImproperlyConfigured(
            f"{name} is missing; with DATABASE_URL or REDIS_URL set it must be 1:SECRET, the secret of at least "
            f"{SECRET_LENGTH} characters (python3 -c 'import secrets; print(\"1:\" + secrets.token_urlsafe(48))')"
        )
    return keys


def _stored_secret(path: Path) -> str:
    """Return the secret in a file, and generate it first if the file does not exist.

    The file is created atomically, so that processes that start together read the same secret.
    """
    try:
        if not path.exists():
            with atomic_file(path) as file:
                file.write(secrets.token_urlsafe(48))
    except (InputError, Conflict) as error:
        if not path.exists():  # otherwise another process was faster, and its secret is read below
            raise ImproperlyConfigured(f"the secret in {path} cannot be stored: {error}") from None
    try:
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(f"the secret in {path} cannot be read: {error.strerror}") from None


# Of each PostgreSQL session. Whoever waits for a frozen process waits longer than that process may stay silent.
_SESSION = "-c idle_in_transaction_session_timeout=60s -c lock_timeout=90s"
# Seconds until each side notices that the other's machine is gone.
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}


def database(env: Environment, var_dir: Path) -> dict[str, Any]:
    """Return Django's settings for ``DATABASE_URL``: PostgreSQL, or SQLite in ``var_dir`` when it is not set.

    SQLite takes its write lock when a transaction begins, so that two writers wait for each other (20 s) and never deadlock.
    It commits to the disk, because an acknowledged decision must survive a power failure. It overwrites what is deleted.
    PostgreSQL connections are checked before use. Each thread of a web process and each worker process has its own. A session
    that holds locks and goes silent, because its process is frozen or its machine is gone, is ended by the server.
    """
    url = text(env, "DATABASE_URL", f"sqlite:///{var_dir / 'r3al.sqlite3'}")
    scheme = url.partition(":")[0]
    if scheme not in ("postgres", "postgresql", "sqlite"):
        raise ImproperlyConfigured(
            f"DATABASE_URL starts with {scheme!r}; expected postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:///PATH"
        )
    try:
        described: dict[str, Any] = environ.Env.db_url_config(url)
    except Exception:  # the parser's messages may quote the password
        described = {}
    if not described.get("NAME"):
        raise ImproperlyConfigured("DATABASE_URL cannot be read; expected postgresql://USER:PASSWORD@HOST:PORT/NAME")
    options: dict[str, Any] = described.setdefault("OPTIONS", {})
    if scheme == "sqlite":
        options |= {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;",
        }
        return described
    options.setdefault("connect_timeout", 10)
    options["options"] = (
        f"{_SESSION} {options.get('options', '')}".strip()
    )  # what the operator sets comes last, and counts
    for name, value in _KEEPALIVES.items():
        options.setdefault(name, value)
    options["prepare_threshold"] = 0  # for core.prepared_statements; Django's own cursors never prepare
    return described | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


def broker(env: Environment, var_dir: Path) -> tuple[str, dict[str, Any]]:
    """Return Celery's broker URL and transport options: Redis from ``REDIS_URL``, or folders in ``var_dir`` by default."""
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
        # A job's row, not its message, records whether it is done. A message redelivered during the job finds the lease taken.
        "visibility_timeout": 300,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 10,
        "socket_keepalive": True,
        "health_check_interval": 30,
    }
