#!/usr/bin/env python3
"""R3AL Training Loop: try it, test it and serve it with one command.

    python3 run.py demo     live three months of simulated people in about three minutes, then start the web interface
    python3 run.py test     run the whole test suite, on SQLite and on a real PostgreSQL and Redis
    python3 run.py serve    start the web interface, workers and beat on the configured database (default: var/)
    python3 run.py setup    only create .venv and install the pinned packages

It needs Python 3.11 or later and access to a package registry.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (older versions need a readable message)
    sys.exit("run.py: this is Python %d.%d; Python 3.11 or later is needed." % sys.version_info[:2])  # noqa: UP031

import os
import signal


def _end_at_once(number: int, frame: object) -> None:
    os.write(2, b"run.py: interrupted; nothing was begun.\n")
    os._exit(130)


signal.signal(signal.SIGINT, _end_at_once)  # while modules are imported, an exception would show their lines

import argparse
import math
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import FrameType, ModuleType

from bootstrap import ROOT, Stop, ensure_environment, say, sentence

DEMO_USER, SIMULATED_LOOP = "demo", "r3al"
DEMO_DISK_BYTES, DISK_BYTES_A_PERSON = 300 * 2**20, 100 * 2**10
STORY_PEOPLE, LOOP_PEOPLE, FEWEST_OF_A_STORY = 1_000, 2_000, 60
MOST_USERS = 100_000  # as r3al_project.ops.demo says
_INTERRUPTS = (15.0, 10.0, 15.0)  # seconds to wait for the end after each Ctrl-C that is forwarded


def main() -> int:
    """Run the command line and return an exit code.

    Returns: 0 on success, 1 after an error (one sentence on standard error), 2 for wrong arguments, 130 after Ctrl-C.
    """
    try:
        _interrupt_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        options, rest = _parser().parse_known_args()
        if rest and options.command != "test":
            _parser().error(f"unrecognized arguments: {' '.join(rest)}")
        return COMMANDS[options.command](options, rest)
    except Stop as stop:
        say(f"run.py: {stop}")
    except OSError as error:
        say(f"run.py: {sentence(error)}")
    except KeyboardInterrupt:
        say("\nrun.py: interrupted; unfinished work was removed.")
        return 130
    return 1


def _interrupt_on(*numbers: signal.Signals) -> None:
    """End with one sentence and nothing half done on these signals, such as that of a closed terminal.

    A signal that the caller ignores, as nohup does, stays ignored.
    """
    for number in numbers:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__, formatter_class=form)
    commands = parser.add_subparsers(dest="command", required=True, metavar="{demo,test,serve,setup}")
    _demo_arguments(commands.add_parser("demo", help="live three months, then serve", formatter_class=form, description=(
        "Sets up the environment and creates a fresh database under var/demo/. Then simulated people live three months through\n"
        "the real services, in five chapters: a first loop; a canary by stages; a later round and an A/B test; a\n"
        "version that does harm and is taken back; people who withdraw. It prints what happens and five things to look\n"
        "at, and serves the web interface. It takes about three minutes on two cores. Ctrl-C removes what is unfinished.\n\n"
        "With --once, --json, --keep, --source or --loop it runs one loop with a real worker instead, prints the results, and\n"
        "serves (except with --once). Without --source the people are simulated."
    )))  # fmt: skip
    test = commands.add_parser("test", help="run the test suite on both stacks", formatter_class=form, description=(
        "Runs static checks, then the suite on SQLite with a file broker, then on a real PostgreSQL and Redis (installed or\n"
        "from wheels). Unknown arguments are passed to pytest: run.py test tests/privacy -k charge"
    ))  # fmt: skip
    test.add_argument("--all", action="store_true", help="include the tests marked slow")
    test.add_argument(
        "--without-services", action="store_true", help="skip PostgreSQL and Redis (reported as NOT TESTED)"
    )
    test.add_argument(
        "--stack",
        choices=["embedded", "production", "both"],
        default="both",
        help="which stack to test (default: both)",
    )
    serve = commands.add_parser("serve", help="start the web interface, workers and beat", description=(
        "Serves until Ctrl-C. DATABASE_URL and REDIS_URL select database and broker (default: SQLite and folders)."
    ))  # fmt: skip
    _port(serve)
    setup = commands.add_parser("setup", help="create .venv and install the pinned packages")
    setup.add_argument("--dev", action="store_true", help="also install the packages for tests")
    return parser


def _demo_arguments(demo: argparse.ArgumentParser) -> None:
    demo.add_argument("--once", action="store_true", help="run one loop and exit instead of serving")
    demo.add_argument(
        "--json",
        action="store_true",
        help="run one loop, and print one JSON object as the last line of standard output",
    )
    demo.add_argument("--keep", action="store_true", help="run one loop on the last demo's database")
    demo.add_argument(
        "--loop",
        default=SIMULATED_LOOP,
        metavar="NAME|FILE.toml",
        help="a bundled loop or a loop file (default: %(default)s)",
    )
    demo.add_argument(
        "--source", metavar="FILE", help="CSV or JSON Lines file of logged decisions, instead of simulated people"
    )
    demo.add_argument(
        "--users", type=int, metavar="N", help="number of simulated people (default: 1000, of one loop 2000)"
    )
    demo.add_argument(
        "--epsilon",
        type=float,
        metavar="E",
        help="privacy budget of a turn (default: manage.py demo's, 1)",
    )
    demo.add_argument(
        "--seed", type=int, default=1, metavar="S", help="random seed of simulation and training (default: %(default)d)"
    )
    _port(demo)


def _port(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8000, metavar="P", help="port of the web interface (default: 8000)")


def command_setup(options: argparse.Namespace, rest: list[str]) -> int:
    """Run ``run.py setup``."""
    say(f"Ready: {ensure_environment(development=options.dev)}")
    return 0


def command_test(options: argparse.Namespace, rest: list[str]) -> int:
    """Run ``run.py test``."""
    python = ensure_environment(development=True)
    flags = ["--all"] * options.all + ["--without-services"] * options.without_services
    return _replace_process(
        [str(python), "-m", "tests.suite", "--stack", options.stack, *flags, *rest], dict(os.environ)
    )


def command_serve(options: argparse.Namespace, rest: list[str]) -> int:
    """Run ``run.py serve``."""
    _check_port(options.port)
    python = ensure_environment(development=False)
    return _replace_process(_serve(python, options.port), dict(os.environ))


def command_demo(options: argparse.Namespace, rest: list[str]) -> int:
    """Run ``run.py demo``."""
    _check_demo(options)
    python = ensure_environment(development=False)
    folder, fresh = _demo_folder(options)
    try:
        if fresh:
            _demo_folder_create(folder, simulated=options.source is None)
        env = _demo_environment(folder)
        code = _demo_run(python, options, env)
    except BaseException:
        _tidy(folder, fresh, interrupted=True)
        raise
    if code:
        _tidy(folder, fresh)
        return code
    (folder / "finished").touch()
    say(f"This demo's database and files: {folder}")
    if options.once:
        return 0
    return _replace_process(_serve(python, options.port), env)


def _check_demo(options: argparse.Namespace) -> None:
    """Check all demo options before any work begins, and fill in the number of people."""
    if options.users is None:
        options.users = STORY_PEOPLE if _tells_story(options) else LOOP_PEOPLE
    if options.users < 1:
        raise Stop(f"--users {options.users} is not a number of people; give 1 or more.")
    if options.users > MOST_USERS:
        raise Stop(f"--users {options.users:,} are too many to simulate on one machine; give at most {MOST_USERS:,}.")
    if _tells_story(options) and options.users < FEWEST_OF_A_STORY:
        raise Stop(f"--users {options.users} are too few for a story; give at least {FEWEST_OF_A_STORY}, or --once.")
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


def _tells_story(options: argparse.Namespace) -> bool:
    """Tell whether the demo lives the story, and not one loop."""
    one_loop = options.once or options.json or options.keep or options.source is not None
    return not one_loop and options.loop == SIMULATED_LOOP


def _check_loop(loop: str, keep: bool) -> str:
    """Return the name of a bundled loop or the full path of a loop file.

    With ``keep`` any name is accepted, because the kept database may contain loops that are not bundled.
    """
    if loop.endswith(".toml"):
        return str(_check_file(loop, "--loop"))
    known = sorted(path.stem for path in (ROOT / "loops" / "specs").glob("*.toml"))
    if loop not in known and not keep:
        raise Stop(f"--loop {loop} is not a known loop; choose one of {', '.join(known)}, or give a .toml file.")
    return loop


def _check_file(given: str, option: str) -> Path:
    path = Path(given).expanduser().resolve()
    if not path.exists():
        raise Stop(f"{option}: there is no file {path}.")
    if not path.is_file():
        raise Stop(f"{option}: {path} is not a file.")
    if not os.access(path, os.R_OK):
        raise Stop(f"{option}: {path} is not readable; check its permissions.")
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
            raise Stop(f"Port {port} needs administrator rights; choose another with --port.") from None
        except OSError:
            raise Stop(f"Port {port} is taken by another program; choose another with --port.") from None


def _demo_folder(options: argparse.Namespace) -> tuple[Path, bool]:
    """Return the demo's own folder, and whether it is new and still to be created."""
    home = Path(os.environ.get("R3AL_VAR_DIR") or ROOT / "var").resolve() / "demo"
    disk = next(folder for folder in (home, *home.parents) if folder.exists())
    needed = DEMO_DISK_BYTES + (options.users * DISK_BYTES_A_PERSON if options.source is None else 0)
    if shutil.disk_usage(disk).free < needed:
        raise Stop(f"The disk that holds {disk} is full; this demo needs about {needed // 2**20:,} MB.")
    os.umask(0o077)  # the demo's files are for nobody else
    home.mkdir(parents=True, exist_ok=True)
    if options.keep:
        finished = sorted(path.parent for path in home.glob("*/finished"))
        if finished:
            return finished[-1], False
        say("There is no earlier demo to continue; starting a fresh one.")
    folder = home / time.strftime("%Y%m%d-%H%M%S")
    while folder.exists():
        folder = folder.with_name(folder.name + "x")
    return folder, True


def _demo_folder_create(folder: Path, *, simulated: bool) -> None:
    folder.mkdir()
    # Simulated people need no secret salt, and a constant one gives the same pseudonyms and folds for the same seed.
    if simulated:
        (folder / "salt").write_text("the salt of simulated people, the same in every demo")


def _demo_environment(folder: Path) -> dict[str, str]:
    production = [name for name in ("DATABASE_URL", "REDIS_URL") if os.environ.get(name)]
    if production:
        say(f"A demo uses its own database; {' and '.join(production)} from the environment will be ignored.")
    unused = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "ANONYMIZATION_SALT", "DATA_MASTER_KEYS", "HTTPS")
    inherited = {name: value for name, value in os.environ.items() if name not in unused}
    login = {"R3AL_DEMO_USER": DEMO_USER, "R3AL_DEMO_PASSWORD": secrets.token_urlsafe(9)}
    return inherited | {"R3AL_VAR_DIR": str(folder), "PYTHONUNBUFFERED": "1", "R3AL_RUN_PY": "1"} | login


def _demo_run(python: Path, options: argparse.Namespace, env: dict[str, str]) -> int:
    values = {"users": options.users, "epsilon": options.epsilon, "seed": options.seed}
    if _tells_story(options):
        return _run_command(python, "story", values | {"port": options.port}, env)
    values |= {"loop": options.loop, "source": options.source}
    return _run_command(python, "demo", values, env, *["--json"] * options.json)


def _run_command(python: Path, name: str, values: dict[str, object], env: dict[str, str], *switches: str) -> int:
    pairs = [f"--{name}={value}" for name, value in values.items() if value is not None]
    return _run_and_forward_interrupt([str(python), str(ROOT / "manage.py"), name, *switches, *pairs], env)


def _run_and_forward_interrupt(command: list[str], env: dict[str, str]) -> int:
    """Run a command that shares our output, forward Ctrl-C to it, and wait until it has ended its own children."""
    process = subprocess.Popen(
        command, env=env, cwd=ROOT, start_new_session=True, preexec_fn=_supervisor().ends_with_parent()
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        _forward_interrupt(process)
        raise
    finally:
        process.wait()


def _forward_interrupt(process: subprocess.Popen[bytes]) -> None:
    """Send Ctrl-C to a command, and kill it if it does not end.

    Python drops a Ctrl-C that comes inside a finalizer, so it is repeated.
    """
    for seconds in _INTERRUPTS:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=seconds)
            return
        except subprocess.TimeoutExpired:
            continue
        except KeyboardInterrupt:
            break
    os.killpg(process.pid, signal.SIGKILL)  # with its own children, which write in its folder


def _supervisor() -> ModuleType:
    """Load r3al_project/processes/supervisor.py by its path, because its package imports packages that may be missing here."""
    spec = spec_from_file_location("r3al_supervisor", ROOT / "r3al_project" / "processes" / "supervisor.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["r3al_supervisor"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _tidy(folder: Path, fresh: bool, interrupted: bool = False) -> None:
    """Remove an unfinished demo. Of one that failed, files of rejected rows stay, because its error message may mention them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the program ends next
    if not fresh or not folder.exists():
        return
    for path in folder.iterdir():
        if path.name == "rejects" and not interrupted:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _serve(python: Path, port: int) -> list[str]:
    return [str(python), "-m", "r3al_project.processes.serve", "--port", str(port)]


def _replace_process(command: list[str], env: dict[str, str]) -> int:
    """Replace this process by another program, which then handles Ctrl-C itself."""
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
