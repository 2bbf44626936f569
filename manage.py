#!/usr/bin/env python3
"""Run Django's command line for this project."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "r3al_project.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    try:
        settings.INSTALLED_APPS  # noqa: B018 (reads the environment)
    except ImproperlyConfigured as error:
        sys.exit(f"manage.py: {error}")
    try:
        execute_from_command_line(sys.argv)
    except (OperationalError, ProgrammingError) as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(
            f"manage.py: the database reported an error ({error}); "
            "check that it is running, and run `manage.py prepare` if it is new"
        )


if __name__ == "__main__":
    main()
