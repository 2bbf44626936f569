"""Create .venv and install the pinned requirements into it. This module uses the standard library only.

A stamp file inside .venv holds the hashes of the installed requirements files, so that a second start installs nothing. A new
environment is marked unfinished until its first installation succeeds. After any earlier end, the next start begins again.
"""

from __future__ import annotations

import configparser
import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / ".requirements.json"
UNFINISHED = VENV / ".unfinished"
RUNTIME, DEVELOPMENT = "requirements.txt", "requirements-dev.txt"
PIP_WHEEL = "pip-25.3-py3-none-any.whl"
PIP_SHA256 = "9655943313a94722b7774661c21049070f6bbb0a1516bf02f7c8d5d9201514cd"


class Stop(Exception):
    """End the program with one sentence."""


def say(text: str) -> None:
    """Print a line to standard error. Standard output is reserved for results. A terminal that was closed hears nothing."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def ensure_environment(*, development: bool) -> Path:
    """Return the path of a Python with the requirements, and install them if needed.

    Raises: Stop, after removing an unfinished environment.
    """
    requirements = DEVELOPMENT if development else RUNTIME
    if not (ROOT / requirements).is_file():
        raise Stop(f"{ROOT / requirements} is missing, so this copy of the repository is incomplete; clone it again.")
    if _is_installed(requirements):
        return PYTHON
    with _install_lock(), _remove_if_unfinished():
        if not _is_installed(requirements):
            _create_environment()
            _install(requirements)
    return PYTHON


def _is_installed(requirements: str) -> bool:
    if UNFINISHED.exists() or not PYTHON.exists():
        return False
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return False
    return bool(stamp.get(requirements) == _digest(requirements))


def _digest(name: str) -> str:
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


@contextlib.contextmanager
def _install_lock() -> Iterator[None]:
    """Allow one installation at a time, with a lock that the operating system releases when the process ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with (ROOT / "run.py").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("Another run.py is installing packages; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _remove_if_unfinished() -> Iterator[None]:
    """Remove an environment that was never complete when the installation fails. An environment that worked is kept."""
    try:
        yield
    except OSError as error:
        raise Stop(sentence(error)) from None
    finally:
        if UNFINISHED.exists():
            shutil.rmtree(VENV, ignore_errors=True)


def sentence(error: OSError) -> str:
    """Describe an operating system error in one sentence."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{where}; free some space and start again."
    return f"{error.strerror or error}{where}."


def _create_environment() -> None:
    if UNFINISHED.exists() or (STAMP.exists() and not _works(PYTHON)):
        shutil.rmtree(VENV)  # created by this module, and unfinished or broken
    if VENV.exists():
        if not _works(PYTHON):
            raise Stop(f"{VENV} has no working Python; remove that folder and start again.")
        return
    say(f"Creating {VENV}")
    VENV.mkdir()
    UNFINISHED.touch()
    if _run([sys.executable, "-m", "venv", str(VENV)]).returncode:  # fails without ensurepip
        completed = _run([sys.executable, "-m", "venv", "--without-pip", str(VENV)])
        if completed.returncode:
            raise Stop(f"{VENV} could not be created: {_last_line(completed.stdout)}")


def _works(python: Path) -> bool:
    return python.exists() and _run([str(python), "-c", ""]).returncode == 0


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment(), check=False
    )


def _environment() -> dict[str, str]:
    """Return the environment without the variables that change where pip installs or what Python imports."""
    excluded = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON")
    inherited = {k: v for k, v in os.environ.items() if k not in excluded}
    return inherited | {
        "PIP_USER": "0",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
    }


def _install(requirements: str) -> None:
    count = len(_pins(requirements))
    say(f"Installing the {count} packages of {requirements}; the first time takes a minute or two.")
    with _pip() as pip:
        _pip_run([*pip, "install", "--require-hashes", "-r", str(ROOT / requirements)])
    names = [requirements]
    if requirements == DEVELOPMENT and _pins(RUNTIME) <= _pins(DEVELOPMENT):
        names.append(RUNTIME)
    draft = STAMP.with_suffix(".tmp")
    draft.write_text(json.dumps({name: _digest(name) for name in names}))
    draft.replace(STAMP)
    UNFINISHED.unlink(missing_ok=True)


def _pins(name: str) -> set[str]:
    return set(re.findall(r"^([A-Za-z0-9._-]+==[^\s;\\]+)", (ROOT / name).read_text(), flags=re.MULTILINE))


def _pip_run(command: list[str]) -> None:
    """Run pip and show its latest line on a terminal.

    Raises: Stop with one sentence when pip fails.
    """
    lines: list[str] = []
    terminal = sys.stderr.isatty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment())
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if terminal:
                print(f"\r\033[K{line.strip()[:100]}", end="", file=sys.stderr, flush=True)
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    if process.returncode:
        raise Stop(_failure_sentence("\n".join(lines)))


def _failure_sentence(output: str) -> str:
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return "The disk is full, so the packages could not be installed; free about 1 GB and start again."
    if "DO NOT MATCH THE HASHES" in output:
        return (
            "A package from the registry is not the pinned one (its hash differs), so nothing was installed. "
            "Check PIP_INDEX_URL and start again."
        )
    if re.search(
        r"Failed to establish|Temporary failure in name|Could not fetch URL|timed out|Network is unreachable", output
    ):
        return "The package registry cannot be reached; check the network or PIP_INDEX_URL and start again."
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    return "The packages could not be installed: " + (errors[-1][6:].strip() if errors else _last_line(output))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it printed no output"])[-1]


@contextlib.contextmanager
def _pip() -> Iterator[list[str]]:
    """Yield a pip command that installs into .venv.

    The choices, in order: the pip of .venv, of this Python, of the machine, or a pip wheel fetched from the registry.
    """
    if _run([str(PYTHON), "-m", "pip", "--version"]).returncode == 0:
        yield [str(PYTHON), "-m", "pip"]
        return
    for candidate in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
        if shutil.which(candidate[0]) and _has_python_option(candidate):
            yield [*candidate, "--python", str(PYTHON)]
            return
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder) / PIP_WHEEL
        wheel.write_bytes(_fetch_pip())
        yield [str(PYTHON), str(wheel / "pip")]


def _has_python_option(pip: list[str]) -> bool:
    """Return whether this pip supports ``--python`` (22.3 and later)."""
    version = re.match(r"pip (\d+)\.(\d+)", _run([*pip, "--version"]).stdout)
    return version is not None and (int(version[1]), int(version[2])) >= (22, 3)


def _fetch_pip() -> bytes:
    page = f"{_index().rstrip('/')}/pip/"
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    try:
        with urllib.request.urlopen(page, timeout=60, context=context) as response:  # noqa: S310
            base, listing = response.geturl(), response.read().decode()
        link = re.search(rf'href="([^"]*{re.escape(PIP_WHEEL)}[^"]*)"', listing)
        if link is None:
            raise Stop(f"No pip is installed and {page} does not offer {PIP_WHEEL}; install pip and start again.")
        file = urllib.parse.urljoin(base, link[1])
        with urllib.request.urlopen(file, timeout=60, context=context) as response:  # noqa: S310
            wheel = bytes(response.read())
    except (OSError, ValueError):
        raise Stop(f"No pip is installed and {page} cannot be read; install pip, or set PIP_INDEX_URL.") from None
    if hashlib.sha256(wheel).hexdigest() != PIP_SHA256:
        raise Stop(
            f"{PIP_WHEEL} from {page} is not the pinned file (its hash differs); set PIP_INDEX_URL to another index."
        )
    return wheel


def _index() -> str:
    """Return the URL of the package index that pip itself would use."""
    settings = configparser.ConfigParser(interpolation=None)
    files = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf", os.environ.get("PIP_CONFIG_FILE", ""))
    with contextlib.suppress(configparser.Error):
        settings.read([str(Path(f).expanduser()) for f in files if f])
    configured = settings.get("global", "index-url", fallback="https://pypi.org/simple")
    return os.environ.get("PIP_INDEX_URL") or configured
