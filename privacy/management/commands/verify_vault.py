"""``manage.py verify_vault``: verify the Trust Vault's chain, and compare the stored rows with what it recorded."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import InputError
from privacy.services.vault.verify import VaultReport, vault_audit, vault_verify


class Command(BaseCommand):
    help = (
        "Verify the Trust Vault's chain, and compare budgets, releases, consents, decisions, outcomes, versions and rollouts "
        "with what it recorded. Name the first broken link, or the first difference of each kind."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--since",
            type=int,
            metavar="SEQ",
            help="verify the chain alone, from this event (default: all of it, and all rows)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = vault_audit() if options["since"] is None else vault_verify(since=options["since"])
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
    adopted = f"\nadopted: no key protects the events before {report.adopted}" if report.adopted else ""
    return f"ok: {report.events} events, {report.decisions} decisions{erased}{adopted}\nhead: {report.sequence} {report.head}"
