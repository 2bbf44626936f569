"""``manage.py prepare``: create everything that a start needs: tables, roles, schedules, the r3al loop and static files.

A second run changes nothing.
"""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from jobs.schedules import schedules_sync
from loops.selectors import DEFAULT_LOOP
from privacy.services.vault.adopt import vault_prepare
from r3al_project.turns.add_loop import loop_builtin_add


class Command(BaseCommand):
    help = "Migrate the database, add missing roles and schedules and the r3al loop, collect static files."

    def handle(self, *args: Any, **options: Any) -> None:
        say = self.stdout.write
        say("preparing the database ...")
        self.stdout.flush()
        applied = _pending_migrations()
        call_command("migrate", verbosity=0)
        vault_prepare()
        say(f"the database has every table; {applied} migrations were applied")
        call_command("roles", stdout=self.stdout)
        say(f"the schedules are in place; {schedules_sync()} were added")
        say(f"the loop {DEFAULT_LOOP} {'was added' if loop_builtin_add(DEFAULT_LOOP) else 'is there'}")
        call_command("collectstatic", interactive=False, verbosity=0)
        say(f"static files are in {settings.STATIC_ROOT}")
        if not get_user_model().objects.filter(is_superuser=True).exists():
            hint = f"There is no operator account yet. Create one with: {sys.executable} manage.py createsuperuser"
            self.stderr.write(hint, style_func=self.style.WARNING)


def _pending_migrations() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
