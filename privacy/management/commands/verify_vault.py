"""``manage.py verify_vault``: does the vault's chain hold, and is every sealed decision what it was?"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import InputError
from privacy.services.vault.verify import VaultReport, vault_verify


class Command(BaseCommand):
    help = "Walk the Trust Vault's chain and name the first broken link. Keep the printed head outside to notice a cut tail."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=int, default=1, metavar="SEQ", help="begin at this event (default: 1)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = vault_verify(since=options["since"])
        except InputError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not found.broken} | asdict(found)))
        if found.broken:
            raise CommandError(f"the vault is broken: {found.broken}")
        if not options["json"]:
            self.stdout.write(_summary(found))


def _summary(found: VaultReport) -> str:
    erased = f" ({found.erased} sealed ones are no longer there)" if found.erased else ""
    return f"ok: {found.events} events, {found.decisions} decisions{erased}\nhead: {found.sequence} {found.head}"
