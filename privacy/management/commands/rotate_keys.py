"""``manage.py rotate_keys``: wrap the keys of people and of exports with the newest master key. It can be run again."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from privacy.selectors.keys import master_version_current
from privacy.services.people.data_keys import keys_rotate, keys_waiting


class Command(BaseCommand):
    help = (
        "Wrap the keys of people and of exports with the highest version of DATA_MASTER_KEYS. Add the new version after the old "
        "one, run this command, and remove the old version once no key is left to wrap."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--limit", type=int, metavar="N", help="wrap at most N keys (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        limit = options["limit"]
        if limit is not None and not 1 <= limit <= sys.maxsize:
            raise CommandError(f"--limit is {limit}; it must lie between 1 and {sys.maxsize}")
        try:
            wrapped = keys_rotate(limit=limit)
        except R3alError as error:
            raise CommandError(str(error)) from None
        left = keys_waiting()
        rest = f"{left} keys are left; run the command again" if left else "no key is left"
        self.stdout.write(f"{wrapped} keys are now wrapped with version {master_version_current()}; {rest}")
