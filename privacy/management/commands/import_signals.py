"""``manage.py import_signals``: import a file of logged decisions, and count added, unchanged and rejected rows."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from core.atomic_files import output_check
from core.errors import R3alError
from loops.selectors import loop_version_current
from privacy.models import Purpose
from privacy.services.records.import_file import ImportReport, signals_import

_LABELS = {
    "rejected": "rejected",
    "clamped": "clamped to the bounds",
    "filled": "missing, filled by the loop's rule",
    "composed": "no total, composed from the components",
    "missing_action": "no action of this head although policy intervened",
    "ignored_unavailable": "action ignored because the person was unavailable",
}


class Command(BaseCommand):
    help = "Import a CSV or JSON Lines file of logged decisions under a loop. Importing the same file again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="CSV or JSON Lines file of logged decisions")
        parser.add_argument(
            "--loop", required=True, metavar="NAME", help="the loop whose import section reads the file"
        )
        parser.add_argument(
            "--consent",
            nargs="+",
            action="extend",
            default=[],
            choices=Purpose.values,
            metavar="PURPOSE",
            help=f"record that the people in the file consented to: {', '.join(Purpose.values)}",
        )
        parser.add_argument("--rejects", type=Path, metavar="FILE", help="write the list of rejected rows to this file")
        parser.add_argument("--force", action="store_true", help="overwrite an existing --rejects")
        parser.add_argument(
            "--override-propensities", default="", metavar="REASON",
            help="import a file whose propensities do not fit its actions, for this reason, which is stored with the import",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["rejects"] is not None:
                output_check("--rejects", options["rejects"], source=options["file"], replace=options["force"])
            report = signals_import(
                path=options["file"],
                loop_version=loop_version_current(options["loop"]),
                consents=[Purpose(p) for p in options["consent"]],
                rejects_path=options["rejects"],
                override_propensities=options["override_propensities"],
                progress=self._progress(options["json"]),
            )
        except R3alError as error:
            raise CommandError(str(error)) from None
        except OperationalError as error:
            raise CommandError(
                f"the database stopped the import ({error}); if the database is new, run `manage.py prepare`, otherwise run the "
                "import again: rows that were added stay"
            ) from None
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict()))
            return
        self._summary(report)
        if not options["consent"]:
            self.stdout.write(
                "No consent was recorded, so new people cannot be included in a release or an evaluation. "
                "If people did consent, run this again with --consent training evaluation."
            )

    def _progress(self, quiet: bool) -> Any:
        """Return a progress callback that overwrites one line on a terminal, and does nothing elsewhere."""
        if quiet or not self.stderr.isatty():
            return lambda fraction, text: None

        def show(fraction: float, text: str) -> None:
            ending = "\n" if fraction >= 1 else ""
            self.stderr.write(f"\r{fraction:4.0%}  {text:<60}", style_func=str, ending=ending)  # progress is no error

        return show

    def _summary(self, report: ImportReport) -> None:
        lines = [
            ("rows", report.rows),
            ("added", report.added),
            ("joined", report.joined),
            ("unchanged", report.unchanged),
            ("rejected", report.rejected),
            ("consents recorded", report.consents_granted),
        ]
        self.stdout.write(report.file)
        for name, count in lines:
            self.stdout.write(f"  {name:<20}{count:>12,}")
        if report.times.sentence:
            self.stdout.write(f"times: {report.times.sentence}")
        for kind, counts in report.counts.items():
            self.stdout.write(f"{_LABELS.get(kind, kind)}:")
            for name, count in counts.items():
                self.stdout.write(f"  {name:<20}{count:>12,}")
        self.stdout.write("propensities (right ones give 1 for every action):")
        for sentence in report.findings:
            self.stdout.write(f"  {sentence}")
        if report.override:
            self.stdout.write(f"imported all the same, which the Trust Vault records: {report.override}")
        if report.rejects_file:
            self.stdout.write(f"reasons for each rejected row: {report.rejects_file}")
