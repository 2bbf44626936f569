"""``manage.py verify_vault``: verify the Trust Vault's hash chain, and compare every sealed decision with its leaf."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import InputError
from privacy.services.vault.verify import VaultReport, vault_verify


class Command(BaseCommand):
    help = (
        "Verify the Trust Vault's chain and name its first broken link. Store the printed head elsewhere: comparing it later "
        "reveals removed events."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=int, default=1, metavar="SEQ", help="begin at this event (default: 1)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = vault_verify(since=options["since"])
        except InputError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not report.broken} | asdict(report)))
        if report.broken:
            raise CommandError(f"the Trust Vault is broken: {report.broken}")
        if not options["json"]:
            self.stdout.write(_summary(report))


def _summary(report: VaultReport) -> str:
    erased = f" ({report.erased} sealed decisions were deleted since)" if report.erased else ""
    return f"ok: {report.events} events, {report.decisions} decisions{erased}\nhead: {report.sequence} {report.head}"
