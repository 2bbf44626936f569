"""``manage.py prepare``: create everything that a start needs: tables, roles, schedules, the r3al loop and static files.

A second run changes nothing.
"""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from jobs.schedules import schedules_sync
from loops.selectors import DEFAULT_LOOP
from privacy.services.vault.adopt import vault_prepare
from r3al_project.turns.add_loop import loop_builtin_add


class Command(BaseCommand):
    help = "Migrate the database, add missing roles and schedules and the r3al loop, collect static files."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        vault_prepare()
        call_command("roles", stdout=StringIO())
        schedules_sync()
        loop_builtin_add(DEFAULT_LOOP)
        call_command("collectstatic", interactive=False, verbosity=0)
        if not get_user_model().objects.filter(is_superuser=True).exists():
            self.stderr.write(
                f"There is no operator account yet. Create one with: {sys.executable} manage.py createsuperuser"
            )
