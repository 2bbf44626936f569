#!/usr/bin/env python3
"""Run Django's command line for this project."""

import os
import signal
import sys


def _end_at_once(number: int, frame: object) -> None:
    _say_interrupted()
    os._exit(130)


def _say_interrupted() -> None:
    if "R3AL_RUN_PY" not in os.environ:  # run.py has a sentence of its own
        os.write(2, b"manage.py: interrupted\n")


def _interrupt_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Repeat a Ctrl-C that came inside a finalizer, where Python drops it and would show its lines."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)  # after the finalizer
    else:
        sys.__unraisablehook__(unraisable)


def main() -> None:
    signal.signal(signal.SIGINT, _end_at_once)  # while modules are imported, an exception would show their lines
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    try:
        settings.INSTALLED_APPS  # noqa: B018 (reads the environment)
    except (ImproperlyConfigured, OSError) as error:
        sys.exit(f"manage.py: {error}")
    try:
        if signal.getsignal(signal.SIGINT) == _end_at_once:
            sys.unraisablehook = _interrupt_again
            signal.signal(signal.SIGINT, signal.default_int_handler)
        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        _say_interrupted()
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except OSError as error:  # a folder that is read-only, a disk that is full
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"manage.py: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}")
    except (OperationalError, ProgrammingError) as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(
            f"manage.py: the database reported an error ({error}); "
            "check that it is running, and run `manage.py prepare` if it is new"
        )


if __name__ == "__main__":
    main()
