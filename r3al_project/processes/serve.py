"""Run the web interface, workers and beat on this machine until Ctrl-C: ``python -m r3al_project.processes.serve``."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from r3al_project.environment import lease_seconds, var_folder
from r3al_project.processes import commands
from r3al_project.processes.one_at_a_time import FolderTaken, only_one
from r3al_project.processes.supervisor import Supervisor

_READY_SECONDS = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare the database and static files, then serve until Ctrl-C. Returns an exit code.

    One process at a time serves a folder, because beat must run once.
    """
    parser = argparse.ArgumentParser(prog="serve", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="port of the web interface (default: 8000)")
    parser.add_argument("--host", default="127.0.0.1", help="address of the web interface (default: 127.0.0.1)")
    parser.add_argument("--concurrency", type=int, default=2, help="number of long jobs that run at once (default: 2)")
    options = parser.parse_args(arguments)
    try:
        with only_one(var_folder(os.environ, Path(__file__).resolve().parents[2])):
            return _serve(options)
    except (FolderTaken, ImproperlyConfigured) as error:
        _say(f"serve: {error}.")
        return 1
    except OSError as error:  # a folder that is read-only, a disk that is full
        _say(f"serve: {error.filename or 'a file'} cannot be written or run: {error.strerror}.")
        return 1
    except KeyboardInterrupt:  # while the database is prepared; later the supervisor takes the signal
        _say("serve: interrupted; nothing was started.")
        return 130


def _serve(options: argparse.Namespace) -> int:
    if code := subprocess.run(commands.manage("prepare"), check=False).returncode:
        return code
    supervisor = Supervisor(patience=lease_seconds(os.environ))
    supervisor.add("web", commands.web(options.port, options.host))
    supervisor.add("beat", commands.beat())
    for name, argv in commands.workers(concurrency=options.concurrency).items():
        supervisor.add(name, argv)
    supervisor.run(lambda: _announce(supervisor, options.port))
    return 0


def _announce(supervisor: Supervisor, port: int) -> None:
    """Print the address of the web interface as soon as it responds."""
    url = f"http://127.0.0.1:{port}/"
    end = time.monotonic() + _READY_SECONDS
    while not _responds(url + "healthz"):
        if supervisor.is_stopping:
            return
        if time.monotonic() > end:
            _say(f"The web interface does not respond at {url} yet; see the lines above.")
            return
        time.sleep(0.1)
    _say(f"\nThe web interface, its workers and beat are running: {url}")
    if password := os.environ.get("R3AL_DEMO_PASSWORD"):
        _say(f"Log in as {os.environ.get('R3AL_DEMO_USER', 'demo')} with the password {password}")
    _say("Ctrl-C stops them all.")


def _responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 (this machine's own address)
            return bool(response.status == 200)
    except urllib.error.HTTPError:
        return True  # an error status is still a response
    except OSError:
        return False


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that was closed
        print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
