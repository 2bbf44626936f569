"""``manage.py anonymize``: anonymise people's records by one of the registered techniques, charged and logged."""

from __future__ import annotations

import json
import sys
import uuid
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from core.atomic_files import atomic_file
from core.errors import InputError, R3alError
from loops.selectors import DEFAULT_LOOP, loop_version_current
from privacy.engine.anonymize.central import DIFFERENTIAL_PRIVACY
from privacy.engine.anonymize.protocol import Technique
from privacy.engine.anonymize.registry import (
    own_parameters,
    technique_modes,
    technique_names,
    technique_of,
    techniques_accepting,
)
from privacy.engine.anonymize.request import DEFAULT_MODE, AnonymizeRequest
from privacy.engine.data_types import DATA_TYPES
from privacy.models import Release
from privacy.services.anonymize.export_tables import export_rows_write, holds_statistics, statistics
from privacy.services.anonymize.preview import anonymize_preview
from privacy.services.anonymize.request import anonymize
from privacy.services.releases.summary import release_summary

_SHARED = ("epsilon", "delta", "mode")  # options of a request that not every technique accepts
_DEFAULTS = AnonymizeRequest(DATA_TYPES[0], DIFFERENTIAL_PRIVACY)


class Command(BaseCommand):
    help = (
        "Anonymise the records of people who consent to training. Every run is charged to each person's budget and stays in the "
        "log. --preview says what it would cost and charges nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        _request_arguments(parser)
        parser.add_argument("--key", help="name the run: a retry with the same key finishes or shows the first run")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help="write the rows as CSV, or the statistics as JSON, to this new file",
        )
        parser.add_argument(
            "--preview", action="store_true", help="say what the run would cost and how many people it would leave out"
        )
        parser.add_argument("--json", action="store_true", help="print the log row as JSON instead of the result")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options)
        except R3alError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(
                f"the database stopped it ({error}); run `manage.py prepare` if it is new, else run it again with its --key"
            ) from None

    def _run(self, options: dict[str, Any]) -> None:
        request, version = _request(options), loop_version_current(options["loop"])
        if options["preview"]:
            preview = anonymize_preview(loop_version=version, request=request)
            self.stdout.write("\n".join(f"{name}: {value}" for name, value in vars(preview).items()))
            return
        key = options["key"] or f"command-{uuid.uuid4()}"
        with ExitStack() as opened:
            # Before anybody is charged, so that a name that cannot be written costs nothing.
            out = opened.enter_context(atomic_file(options["output"])) if options["output"] is not None else None
            sys.stderr.write(f"key: {key} (whatever interrupts this run, --key {key} goes on with it)\n")
            release = anonymize(key=key, loop_version=version, request=request)
            sys.stderr.write(f"{release}: {release.guarantee}\n")
            if out is not None:
                _result(release, out)
        if options["json"]:
            self.stdout.write(json.dumps(release_summary(release), default=str))
        elif out is None:
            _result(release, self.stdout)  # type: ignore[arg-type]


def _request_arguments(parser: ArgumentParser) -> None:
    """Add the options that make up a request; each technique adds its own."""
    parser.add_argument(
        "--loop", default=DEFAULT_LOOP, help="anonymise the records of this loop (default: %(default)s)"
    )
    parser.add_argument(
        "--data-type",
        default="pulse",
        choices=DATA_TYPES,
        help="anonymise records of this type (default: %(default)s)",
    )
    parser.add_argument(
        "--technique",
        default=DIFFERENTIAL_PRIVACY,
        choices=technique_names(),
        help="use this technique (default: %(default)s)",
    )
    parser.add_argument(
        "--mode",
        choices=technique_modes(),
        help=f"publish statistics (central) or rows (local) under differential privacy (default: {DEFAULT_MODE})",
    )
    parser.add_argument(
        "--epsilon", type=float, help=f"set epsilon of differential privacy (default: {_DEFAULTS.epsilon:g})"
    )
    parser.add_argument(
        "--delta", type=float, help=f"set delta of central differential privacy (default: {_DEFAULTS.delta:g})"
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="publish rows of at most N people, or compute statistics on about N (default: all)",
    )
    parser.add_argument(
        "--rows",
        type=int,
        metavar="N",
        help=f"publish each person's newest N records as rows (default: {_DEFAULTS.rows})",
    )
    parser.add_argument("--fields", metavar="A,B", help="publish these features alone (default: all)")
    for own in own_parameters():
        parser.add_argument(own.flag, type=own.kind, metavar=own.metavar, help=own.help)


def _request(options: dict[str, Any]) -> AnonymizeRequest:
    """Raises InputError for an option that the technique does not accept."""
    own = {p.name: options[p.name] for p in own_parameters() if options[p.name] is not None}
    shared = {name: options[name] for name in _SHARED if options[name] is not None}
    technique = technique_of(options["technique"], shared.get("mode", DEFAULT_MODE))
    for name in (*shared, *own):
        _check_accepted(name, technique)
    if technique.statistics and options["rows"] is not None:
        raise InputError("--rows belongs to rows; statistics are of all records, so leave it out")
    fields = options["fields"]
    return AnonymizeRequest(
        data_type=options["data_type"], technique=technique.name, samples=options["samples"],
        rows=_DEFAULTS.rows if options["rows"] is None else options["rows"], options=own,
        fields=None if fields is None else tuple(f.strip() for f in fields.split(",") if f.strip()), **shared,
    )  # fmt: skip


def _check_accepted(name: str, technique: Technique) -> None:
    if technique.accepts(name):
        return
    owners, flag = techniques_accepting(name), f"--{name.replace('_', '-')}"
    modes = [owner.mode for owner in owners if owner.name == technique.name and owner.mode is not None]
    if modes:
        what = "statistics" if technique.statistics else "rows"
        raise InputError(f"{flag} belongs to mode {modes[0]}; {what} have none, so leave it out")
    names = " and ".join(dict.fromkeys(owner.name for owner in owners))
    raise InputError(f"{flag} belongs to {names}, not to {technique.name}; leave it out")


def _result(release: Release, out: TextIO) -> None:
    if holds_statistics(release):
        out.write(json.dumps(statistics(release), default=str, indent=1) + "\n")
    else:
        export_rows_write(release=release, out=out)
