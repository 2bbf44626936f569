#!/usr/bin/env python3
"""R3AL Training Loop: one command to try it, test it and serve it.

    python3 run.py demo     one whole loop on simulated people, then the web interface with workers and beat
    python3 run.py test     the whole suite, on SQLite and on a real PostgreSQL and Redis
    python3 run.py serve    web interface, workers and beat on the database of the environment (default: var/)
    python3 run.py setup    only make .venv and install the pinned packages

Needs Python 3.11 or later and a package registry, nothing else.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (older ones must be told)
    sys.exit("run.py: this is Python %d.%d; Python 3.11 or later is needed." % sys.version_info[:2])  # noqa: UP031

import argparse
import math
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import FrameType, ModuleType

from bootstrap import ROOT, Stop, ensure_environment, say, sentence

DEMO_USER, SIMULATED_LOOP = "demo", "r3al"
ROOM = 300 * 2**20


def main() -> int:
    """Returns an exit code: 0, 1 after one sentence on standard error, 2 for wrong arguments, 130 after Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    options, rest = _parser().parse_known_args()
    if rest and options.command != "test":
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return COMMANDS[options.command](options, rest)
    except Stop as stop:
        say(f"run.py: {stop}")
    except OSError as error:
        say(f"run.py: {sentence(error)}")
    except KeyboardInterrupt:
        say("\nrun.py: interrupted; nothing half done was left.")
        return 130
    return 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__, formatter_class=form)
    commands = parser.add_subparsers(dest="command", required=True, metavar="{demo,test,serve,setup}")
    _demo_arguments(commands.add_parser("demo", help="one whole loop, then the web interface", formatter_class=form, description=(
        "Sets up, migrates a fresh database under var/demo/, runs one whole loop there with a real worker, says what it did,\n"
        "then serves the web interface. Without --source the people are simulated."
    )))  # fmt: skip
    test = commands.add_parser("test", help="the whole suite on both stacks", formatter_class=form, description=(
        "Static checks, then the suite on SQLite with folders as the broker, then on a real PostgreSQL and Redis (found, or\n"
        "taken from wheels). What it does not know it hands to pytest: run.py test tests/privacy -k ledger"
    ))  # fmt: skip
    test.add_argument("--all", action="store_true", help="also the tests marked slow")
    test.add_argument(
        "--without-services", action="store_true", help="leave PostgreSQL and Redis out (and say NOT TESTED)"
    )
    test.add_argument("--stack", choices=["embedded", "production", "both"], default="both", help="default: both")
    serve = commands.add_parser("serve", help="web interface, workers and beat", description=(
        "Serves until Ctrl-C. The database and broker are those of DATABASE_URL and REDIS_URL; without them, SQLite and folders."
    ))  # fmt: skip
    _port(serve)
    setup = commands.add_parser("setup", help="make .venv and install the pinned packages")
    setup.add_argument("--dev", action="store_true", help="also what tests need")
    return parser


def _demo_arguments(demo: argparse.ArgumentParser) -> None:
    demo.add_argument("--once", action="store_true", help="end after the loop; serve nothing")
    demo.add_argument("--json", action="store_true", help="print one JSON object as the last line of standard output")
    demo.add_argument("--keep", action="store_true", help="go on with the last demo's database instead of a fresh one")
    demo.add_argument(
        "--loop",
        default=SIMULATED_LOOP,
        metavar="NAME|FILE.toml",
        help="a known loop or a loop file (default: %(default)s)",
    )
    demo.add_argument(
        "--source", metavar="FILE", help="CSV or JSON Lines of logged decisions, instead of simulated people"
    )
    demo.add_argument("--users", type=int, default=2_000, metavar="N", help="simulated people (default: 2000)")
    demo.add_argument(
        "--epsilon",
        type=float,
        metavar="E",
        help="privacy budget of each of the two releases (default: manage.py demo's, 1)",
    )
    demo.add_argument(
        "--seed", type=int, default=1, metavar="S", help="seed of people and training (default: %(default)d)"
    )
    _port(demo)


def _port(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=int, default=8000, metavar="P", help="port of the web interface (default: %(default)d)"
    )


def command_setup(options: argparse.Namespace, rest: list[str]) -> int:
    """``run.py setup``"""
    say(f"Ready: {ensure_environment(development=options.dev)}")
    return 0


def command_test(options: argparse.Namespace, rest: list[str]) -> int:
    """``run.py test``"""
    python = ensure_environment(development=True)
    flags = ["--all"] * options.all + ["--without-services"] * options.without_services
    return _become([str(python), "-m", "tests.suite", "--stack", options.stack, *flags, *rest], dict(os.environ))


def command_serve(options: argparse.Namespace, rest: list[str]) -> int:
    """``run.py serve``"""
    _check_port(options.port)
    python = ensure_environment(development=False)
    return _become(_serve(python, options.port), dict(os.environ))


def command_demo(options: argparse.Namespace, rest: list[str]) -> int:
    """``run.py demo``"""
    _check_demo(options)
    python = ensure_environment(development=False)
    folder, fresh = _demo_folder(options)
    env = _demo_environment(folder)
    try:
        code = _demo_run(python, options, env)
    except BaseException:
        _tidy(folder, fresh)
        raise
    if code:
        _tidy(folder, fresh)
        return code
    (folder / "finished").touch()
    say(f"This demo's database and files: {folder}")
    if options.once:
        return 0
    return _become(_serve(python, options.port), env)


def _check_demo(options: argparse.Namespace) -> None:
    """Everything that can be known before the work begins."""
    if options.users < 1:
        raise Stop(f"--users {options.users} is not a number of people; give 1 or more.")
    if options.epsilon is not None and not (math.isfinite(options.epsilon) and options.epsilon > 0):
        raise Stop(f"--epsilon {options.epsilon:g} is not a privacy budget; give a number above 0.")
    if options.seed < 0:
        raise Stop(f"--seed {options.seed} is negative; give 0 or more.")
    options.loop = _check_loop(options.loop, options.keep)
    if options.source is not None:
        options.source = str(_check_file(options.source, "--source"))
    elif options.loop != SIMULATED_LOOP:
        raise Stop(
            f"Only the {SIMULATED_LOOP} loop has simulated people; give --source FILE for --loop {options.loop}."
        )
    if not options.once:
        _check_port(options.port)


def _check_loop(loop: str, keep: bool) -> str:
    """A known name or a file's full path; a kept database may know names that this program does not."""
    if loop.endswith(".toml"):
        return str(_check_file(loop, "--loop"))
    known = sorted(path.stem for path in (ROOT / "loops" / "specs").glob("*.toml"))
    if loop not in known and not keep:
        raise Stop(f"--loop {loop} is no known loop; known are {', '.join(known)}, or give a .toml file.")
    return loop


def _check_file(given: str, option: str) -> Path:
    path = Path(given).expanduser().resolve()
    if not path.exists():
        raise Stop(f"{option}: there is no file {path}.")
    if not path.is_file():
        raise Stop(f"{option}: {path} is not a file.")
    if not os.access(path, os.R_OK):
        raise Stop(f"{option}: {path} may not be read.")
    if not path.stat().st_size:
        raise Stop(f"{option}: {path} is empty.")
    return path


def _check_port(port: int) -> None:
    if not 1 <= port <= 65_535:
        raise Stop(f"--port {port} is not a port; give a number between 1 and 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise Stop(f"Port {port} is for the administrator alone; choose another with --port.") from None
        except OSError:
            raise Stop(f"Port {port} is taken by another program; choose another with --port.") from None


def _demo_folder(options: argparse.Namespace) -> tuple[Path, bool]:
    """The demo's own folder, and whether it is new."""
    home = Path(os.environ.get("R3AL_VAR_DIR") or ROOT / "var").resolve() / "demo"
    disk = next(folder for folder in (home, *home.parents) if folder.exists())
    if shutil.disk_usage(disk).free < ROOM:
        raise Stop(f"The disk that holds {disk} is full; a demo needs about {ROOM // 2**20} MB.")
    home.mkdir(parents=True, exist_ok=True)
    if options.keep:
        finished = sorted(path.parent for path in home.glob("*/finished"))
        if finished:
            return finished[-1], False
        say("There is no earlier demo to go on with; this one starts fresh.")
    folder = home / time.strftime("%Y%m%d-%H%M%S")
    while folder.exists():
        folder = folder.with_name(folder.name + "x")
    folder.mkdir()
    if (
        options.source is None
    ):  # simulated people have nothing to hide: the same seed gives the same pseudonyms and folds
        (folder / "salt").write_text("the salt of simulated people, the same in every demo")
    return folder, True


def _demo_environment(folder: Path) -> dict[str, str]:
    production = [name for name in ("DATABASE_URL", "REDIS_URL") if os.environ.get(name)]
    if production:
        say(f"A demo has a database of its own; {' and '.join(production)} of the environment are not used.")
    unused = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "ANONYMIZATION_SALT", "DATA_MASTER_KEYS", "HTTPS")
    kept = {name: value for name, value in os.environ.items() if name not in unused}
    login = {"R3AL_DEMO_USER": DEMO_USER, "R3AL_DEMO_PASSWORD": secrets.token_urlsafe(9)}
    return kept | {"R3AL_VAR_DIR": str(folder), "PYTHONUNBUFFERED": "1"} | login


def _demo_run(python: Path, options: argparse.Namespace, env: dict[str, str]) -> int:
    switches = [f"--{name}" for name in ("json", "keep") if getattr(options, name)]
    values = {
        "loop": options.loop,
        "source": options.source,
        "users": options.users,
        "epsilon": options.epsilon,
        "seed": options.seed,
    }
    pairs = [f"--{name}={value}" for name, value in values.items() if value is not None]
    return _watch([str(python), str(ROOT / "manage.py"), "demo", *switches, *pairs], env)


def _watch(command: list[str], env: dict[str, str]) -> int:
    """Run a command that shares our output, hand Ctrl-C on to it, and wait until it has ended its own children."""
    process = subprocess.Popen(
        command, env=env, cwd=ROOT, start_new_session=True, preexec_fn=_supervisor().ends_with_parent()
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=40)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            process.kill()
        raise
    finally:
        process.wait()


def _supervisor() -> ModuleType:
    """r3al_project/processes/supervisor.py by its path: the package around it needs what may not be installed here."""
    spec = spec_from_file_location("r3al_supervisor", ROOT / "r3al_project" / "processes" / "supervisor.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["r3al_supervisor"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _tidy(folder: Path, fresh: bool) -> None:
    """Remove a demo that did not come to its end, all but the rejected rows that its message may speak of."""
    if not fresh:
        return
    for path in folder.iterdir():
        if path.name == "rejects":
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _serve(python: Path, port: int) -> list[str]:
    return [str(python), "-m", "r3al_project.processes.serve", "--port", str(port)]


def _become(command: list[str], env: dict[str, str]) -> int:
    """Go on as another program; Ctrl-C is its own from here."""
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execve(command[0], command, env)  # noqa: S606


COMMANDS: dict[str, Callable[[argparse.Namespace, list[str]], int]] = {
    "demo": command_demo,
    "test": command_test,
    "serve": command_serve,
    "setup": command_setup,
}

if __name__ == "__main__":
    sys.exit(main())
