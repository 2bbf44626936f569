"""``manage.py verify_vault``: does the vault's chain hold, and is every sealed decision what it was?"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from privacy.services.vault_verify import vault_verify


class Command(BaseCommand):
    help = "Walk the Trust Vault's chain and name the first broken link. Keep the printed head outside to notice a cut tail."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=int, default=1, metavar="SEQ", help="begin at this event (default: 1)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["since"] < 1:
            raise CommandError("--since takes an event's number, from 1 on")
        found = vault_verify(since=options["since"])
        if options["json"]:
            self.stdout.write(json.dumps(asdict(found)))
        if found.broken:
            raise CommandError(f"the vault is broken: {found.broken}")
        if not options["json"]:
            self.stdout.write(f"ok: {found.events} events, {found.decisions} decisions; the head is {found.head}")
