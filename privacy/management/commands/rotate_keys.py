"""``manage.py rotate_keys``: wrap every person's data key with the newest master key. Stop it and run it again as you like."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from privacy.selectors.keys import master_version_current
from privacy.services.people.data_keys import keys_rotate, keys_waiting


class Command(BaseCommand):
    help = (
        "Wrap people's data keys with the highest version of DATA_MASTER_KEYS. Put the new version behind the old one, run this, "
        "and take the old one away when it says that no key waits."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--limit", type=int, metavar="N", help="at most so many keys (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        limit = options["limit"]
        if limit is not None and limit < 1:
            raise CommandError(f"--limit is {limit}; it is a number from 1")
        try:
            done = keys_rotate(limit=limit)
        except R3alError as error:
            raise CommandError(str(error)) from None
        waiting = keys_waiting()
        rest = f"{waiting} wait; run it again" if waiting else "no key waits"
        self.stdout.write(f"{done} data keys are now wrapped with version {master_version_current()}; {rest}")
