"""Name who acts where no account is logged in: the schedule, or the operating system's user at a terminal."""

from __future__ import annotations

import getpass
import os

SCHEDULE = "schedule"


def terminal_actor() -> str:
    """Return the name of the operating system's user, marked as being at a terminal."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        name = f"user {os.getuid()}"
    return f"{name} at a terminal"
