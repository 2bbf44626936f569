"""``run.py test``: static checks, then the suite on both stacks. The last line says which servers were real.

``python -m tests.suite [--stack embedded|production|both] [--all] [--without-services] [pytest's arguments]``
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.services_under_test import NotAvailable, PostgreSQL, Redis, postgresql, redis

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PROCESSES = min((os.cpu_count() or 1) + 1, 8)  # tests wait for processes, locks and clocks for a third of their time
STATIC = {
    "ruff check": [str(BIN / "ruff"), "check", "."],
    "ruff format": [str(BIN / "ruff"), "format", "--check", "."],
    "import-linter": [str(BIN / "lint-imports")],
    "migrations": [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
}
SLOW_STATIC = {"mypy": [sys.executable, "-m", "mypy"]}  # half a minute on one processor, so it runs beside the suite
SECRETS = {
    "SECRET_KEY": "secret-key-of-the-tests-and-of-nothing-else",
    "ANONYMIZATION_SALT": "salt-of-the-tests-and-of-nothing-else",
    "DATA_MASTER_KEYS": "1:master-key-of-the-tests-and-of-nothing-else",
}


@dataclass
class Run:
    """What ran so far."""

    failed: list[str] = field(default_factory=list)
    not_tested: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def part(self, name: str, command: list[str], env: dict[str, str] | None = None, *, quiet: bool = False) -> None:
        """Run one part; the output of a quiet one is shown only when it fails."""
        _say(f"\n--- {name}")
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **(env or {})}, check=False, text=True,
            stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None,
        )  # fmt: skip
        self._ended(name, done.returncode, done.stdout if quiet else "", f"{time.monotonic() - began:.0f} s")

    @contextlib.contextmanager
    def beside(self, name: str, command: list[str], env: dict[str, str]) -> Iterator[None]:
        """Run one quiet part while others run; what it found is said at the end."""
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **env}, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                yield
                process.wait()
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            self._ended(name, process.returncode, output.read(), "beside the suite")

    def _ended(self, name: str, code: int, output: str, took: str) -> None:
        if code:
            _say(output)
            self.failed.append(name)
        self.lines.append(f"{'FAILED' if code else 'passed'}  {name}  {took}")
        _say(self.lines[-1])


def main() -> int:
    """Returns 0 only if every part that ran passed."""
    signal.signal(signal.SIGTERM, _interrupt)
    options, pytest_arguments = _parser().parse_known_args()
    run = Run()
    with tempfile.TemporaryDirectory(prefix="r3al-suite-") as folder, contextlib.ExitStack() as servers:
        try:
            env, versions = servers.enter_context(_services(options.without_services))
        except NotAvailable as error:
            _say(str(error))
            _say("FAILED: no real server to test on, see above; --without-services leaves such tests out. NOT TESTED")
            return 1
        env["R3AL_NOT_TESTED"] = str(Path(folder) / "not-tested")
        with contextlib.ExitStack() as beside:
            if not pytest_arguments:
                _static(run, beside, SECRETS | {"R3AL_VAR_DIR": folder})
            _stacks(run, options, pytest_arguments, env)
        with contextlib.suppress(OSError):
            run.not_tested += sorted(set(Path(env["R3AL_NOT_TESTED"]).read_text().splitlines()))
    return _conclude(run, versions, options, part=bool(pytest_arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py test", allow_abbrev=False)
    parser.add_argument("--stack", choices=["embedded", "production", "both"], default="both")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--without-services", action="store_true")
    return parser


def _static(run: Run, beside: contextlib.ExitStack, env: dict[str, str]) -> None:
    for name, command in STATIC.items():
        run.part(name, command, env, quiet=True)
    for name, command in SLOW_STATIC.items():
        beside.enter_context(run.beside(name, command, env))


def _stacks(run: Run, options: argparse.Namespace, extra: list[str], env: dict[str, str]) -> None:
    flags = ["--all"] * options.all + ["--without-services"] * options.without_services
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(PROCESSES), "--dist", "worksteal", *flags, *extra]
    env = env | {"PYTHONDONTWRITEBYTECODE": ""}  # some containers set it; the tests start hundreds of processes
    embedded = env | {"DATABASE_URL": "", "REDIS_URL": ""}
    if options.stack in ("embedded", "both"):
        run.part("suite on SQLite and folders", command, embedded)
    if options.stack in ("production", "both") and not options.without_services:
        run.part("suite on PostgreSQL and Redis", command, env)


@contextlib.contextmanager
def _services(without: bool) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Environment of the production stack and the servers' versions."""
    if without:
        yield dict(SECRETS), []
        return
    with contextlib.ExitStack() as ours:
        database, cache = os.environ.get("TEST_DATABASE_URL"), os.environ.get("TEST_REDIS_URL")
        if not database:
            server = PostgreSQL().start()
            ours.callback(server.stop)
            database = server.url
        if not cache:
            broker = Redis().start()
            ours.callback(broker.stop)
            cache = broker.url
        env = {"DATABASE_URL": database, "REDIS_URL": cache, "TEST_DATABASE_URL": database, "TEST_REDIS_URL": cache}
        versions = [f"PostgreSQL {postgresql.version_of(database)}", f"Redis {redis.version_of(cache)}"]
        _say(f"Real servers: {', '.join(versions)}")
        yield env | SECRETS, versions


def _conclude(run: Run, versions: list[str], options: argparse.Namespace, *, part: bool) -> int:
    if part:
        run.not_tested.insert(0, "the rest of the suite and the static checks (a part was asked for)")
    if not versions:
        run.not_tested.insert(0, "PostgreSQL and Redis (--without-services)")
    elif options.stack == "embedded":
        run.not_tested.insert(0, "the suite on PostgreSQL and Redis (--stack embedded)")
    elif options.stack == "production":
        run.not_tested.insert(0, "the suite on SQLite (--stack production)")
    _say("\n" + "\n".join(run.lines))
    servers = ", ".join([f"SQLite {sqlite3.sqlite_version}", *versions])
    verdict = f"FAILED: {', '.join(run.failed)}" if run.failed else "All passed"
    missing = f" | NOT TESTED: {'; '.join(run.not_tested)}" if run.not_tested else ""
    _say(f"{verdict} | {servers}{missing}")
    return 1 if run.failed else 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        _say("FAILED: interrupted")
        sys.exit(130)
