"""``manage.py roles``: create the platform's groups with their permissions. Safe to run at every start."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from r3al_project.ops.roles import ROLES, roles_sync


class Command(BaseCommand):
    help = "Create the groups Operator, Privacy officer, Analyst, Viewer and Service, each with its permissions."

    def handle(self, *args: Any, **options: Any) -> None:
        added = roles_sync()
        self.stdout.write(f"{len(ROLES)} roles are in place; {added} permissions were added")
