"""``manage.py anonymize``: anonymise people's records by one of four techniques, charged and logged."""

from __future__ import annotations

import json
import sys
import uuid
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from loops.selectors import loop_version_current
from privacy.engine.techniques import DATA_TYPES, MODES, TECHNIQUES, Wanted
from privacy.models import Release
from privacy.services.anonymize import anonymize
from privacy.services.anonymized_rows import is_central, rows_write, statistics
from privacy.services.preview import anonymize_preview
from privacy.services.told import release_told
from r3al_project.common.errors import R3alError


class Command(BaseCommand):
    help = (
        "Anonymise the records of people who consent to training. Every run is charged to each person's budget and stays in the "
        "log. --preview says what it would cost and charges nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", default="r3al", help="the loop whose records are meant (default: r3al)")
        parser.add_argument("--data-type", default="pulse", choices=DATA_TYPES)
        parser.add_argument("--technique", default="differential_privacy", choices=TECHNIQUES)
        parser.add_argument(
            "--mode", default="central", choices=MODES, help="of differential privacy: statistics, or rows"
        )
        parser.add_argument("--epsilon", type=float, default=0.5, help="of differential privacy (default: 0.5)")
        parser.add_argument("--delta", type=float, default=1e-6, help="of central differential privacy (default: 1e-6)")
        parser.add_argument(
            "--samples",
            type=int,
            metavar="N",
            help="so many people, drawn at random: of rows at most, of statistics about (default: all)",
        )
        parser.add_argument(
            "--rows", type=int, default=1, metavar="N", help="the newest N records of each (default: 1)"
        )
        parser.add_argument("--fields", metavar="A,B", help="these features alone (default: all)")
        parser.add_argument("--k", type=int, default=10, help="of k-anonymity (default: 10)")
        parser.add_argument("--diversity", type=int, default=1, metavar="L", help="different sensitive values a class")
        parser.add_argument(
            "--sensitive", metavar="FIELD", help="the category that diversity counts; published as it is"
        )
        parser.add_argument(
            "--epoch", default="", help="of pseudonyms (default: this month); a new one cannot be linked"
        )
        parser.add_argument("--key", help="idempotency key: a retry with it finishes or shows the first run")
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="where the rows go as CSV (default: standard output)"
        )
        parser.add_argument("--preview", action="store_true", help="say what it would cost and whom it would leave out")
        parser.add_argument("--json", action="store_true", help="print the log row as JSON instead of the result")

    def handle(self, *args: Any, **options: Any) -> None:
        fields = options["fields"]
        wanted = Wanted(
            data_type=options["data_type"], technique=options["technique"], epsilon=options["epsilon"],
            delta=options["delta"], samples=options["samples"], mode=options["mode"], rows=options["rows"],
            fields=None if fields is None else tuple(f.strip() for f in fields.split(",") if f.strip()),
            k=options["k"], diversity=options["diversity"], sensitive=options["sensitive"], epoch=options["epoch"],
        )  # fmt: skip
        try:
            version = loop_version_current(options["loop"])
            if options["preview"]:
                told = anonymize_preview(loop_version=version, wanted=wanted)
                self.stdout.write("\n".join(f"{name}: {value}" for name, value in vars(told).items()))
                return
            release = anonymize(key=options["key"] or f"command-{uuid.uuid4()}", loop_version=version, wanted=wanted)
            self._tell(release, options)
        except R3alError as error:
            raise CommandError(str(error)) from None

    def _tell(self, release: Release, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(release_told(release), default=str))
        elif is_central(release):
            self.stdout.write(json.dumps(statistics(release), default=str, indent=1))
        if options["output"] is not None and not is_central(release):
            _write(release, options["output"])
        elif not options["json"] and not is_central(release):
            rows_write(release=release, out=self.stdout)  # type: ignore[arg-type]
        sys.stderr.write(f"{release}: {release.guarantee}\n")


def _write(release: Release, path: Path) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="") as out:
            rows_write(release=release, out=out)
    except OSError as error:
        raise CommandError(
            f"{path} cannot be written: {error.strerror}; the release stands, so run it again with its --key and another --output"
        ) from None
