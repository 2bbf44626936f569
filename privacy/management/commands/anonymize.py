"""``manage.py anonymize``: anonymise people's records by a registered technique, charge the people, and log the release."""

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

from core.atomic_files import atomic_file, output_check
from core.errors import InputError, R3alError
from loops.selectors import DEFAULT_LOOP, loop_version_current
from privacy.engine.anonymize.central_dp import DIFFERENTIAL_PRIVACY
from privacy.engine.anonymize.protocol import Technique
from privacy.engine.anonymize.registry import (
    own_parameters,
    technique_modes,
    technique_names,
    technique_of,
    techniques_using,
)
from privacy.engine.anonymize.request import DEFAULT_MODE, AnonymizeRequest
from privacy.engine.data_types import DATA_TYPES
from privacy.management.terminal_account import account_option, operator_at_terminal
from privacy.models import Approval, Release
from privacy.selectors.approvals import waits_facts
from privacy.services.anonymize.export_tables import export_rows_write, holds_statistics, statistics
from privacy.services.anonymize.guarded_release import anonymize_or_ask
from privacy.services.anonymize.preview import anonymize_preview
from privacy.services.anonymize.run import anonymize
from privacy.services.releases.summary import release_summary

_SHARED = ("epsilon", "delta", "mode")  # options of every request that some techniques do not use


class Command(BaseCommand):
    help = (
        "Anonymise the records of people who consent to training. Every run charges each person's budget and stays in the log. "
        "--preview shows the cost and charges nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--loop", default=DEFAULT_LOOP, help="the loop whose records are anonymised (default: %(default)s)"
        )
        parser.add_argument("--data-type", default="pulse", choices=DATA_TYPES)
        parser.add_argument("--technique", default=DIFFERENTIAL_PRIVACY, choices=technique_names())
        parser.add_argument(
            "--mode",
            choices=technique_modes(),
            help="differential privacy: central releases statistics (the default), local releases rows",
        )
        parser.add_argument("--epsilon", type=float, help="differential privacy: the epsilon (default: 0.5)")
        parser.add_argument("--delta", type=float, help="central differential privacy: the delta (default: 1e-6)")
        parser.add_argument(
            "--samples",
            type=int,
            metavar="N",
            help="number of people: at most N for rows, about N for statistics (default: all)",
        )
        parser.add_argument(
            "--rows", type=int, metavar="N", help="rows only: take each person's newest N records (default: 1)"
        )
        parser.add_argument("--fields", metavar="A,B", help="use only these features (default: all)")
        for own in own_parameters():
            parser.add_argument(own.flag, type=own.kind, metavar=own.metavar, help=own.help)
        parser.add_argument("--key", help="idempotency key: a retry with the same key finishes or shows the first run")
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="write rows as CSV, or statistics as JSON, to this file"
        )
        parser.add_argument("--force", action="store_true", help="overwrite an existing --output")
        parser.add_argument(
            "--preview", action="store_true", help="show the cost and what is public of its people; charge nothing"
        )
        account_option(parser)
        parser.add_argument(
            "--json", action="store_true", help="print the log row or the preview as JSON, not the result"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options)
        except _Waits as waits:
            facts = waits_facts(waits.approval)
            self.stdout.write(json.dumps(facts) if options["json"] else facts["reason"])
        except R3alError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(
                f"the database stopped the run ({error}); if the database is new, run `manage.py prepare`, otherwise run the "
                "command again with its --key"
            ) from None

    def _run(self, options: dict[str, Any]) -> None:
        request, version = _request(options), loop_version_current(options["loop"])
        if options["preview"]:
            preview = anonymize_preview(loop_version=version, request=request)
            found = vars(preview)
            self.stdout.write(
                json.dumps(found) if options["json"] else "\n".join(f"{name}: {value}" for name, value in found.items())
            )
            return
        output, force = options["output"], options["force"]
        if output is not None:
            output_check("--output", output, replace=force)
        key = options["key"] or f"command-{uuid.uuid4()}"
        with ExitStack() as opened:
            # Opened before anybody is charged, so that a path that cannot be written costs nothing.
            out = opened.enter_context(atomic_file(output, replace=force)) if output is not None else None
            sys.stderr.write(f"key: {key} (if this run is interrupted, continue it with --key {key})\n")
            release = _anonymize(options["account"], key=key, loop_version=version, request=request)
            sys.stderr.write(f"{release}: {release.guarantee}\n")
            if out is not None:
                _write_result(release, out)
        if options["json"]:
            self.stdout.write(json.dumps(release_summary(release), default=str))
        elif out is None:
            _write_result(release, self.stdout)  # type: ignore[arg-type]


def _request(options: dict[str, Any]) -> AnonymizeRequest:
    """Build the request. Raises InputError for an option that has no effect on the technique."""
    own = {p.name: options[p.name] for p in own_parameters() if options[p.name] is not None}
    shared = {name: options[name] for name in _SHARED if options[name] is not None}
    technique = technique_of(options["technique"], shared.get("mode", DEFAULT_MODE))
    for name in (*shared, *own):
        _check_used(name, technique)
    if technique.statistics and options["rows"] is not None:
        raise InputError("--rows applies to techniques that release rows; statistics use all records, so leave it out")
    fields = options["fields"]
    return AnonymizeRequest(
        data_type=options["data_type"], technique=technique.name, samples=options["samples"],
        rows=1 if options["rows"] is None else options["rows"], options=own,
        fields=None if fields is None else tuple(f.strip() for f in fields.split(",") if f.strip()), **shared,
    )  # fmt: skip


def _anonymize(account: str, **asked: Any) -> Release:
    """Anonymise records now. Raises _Waits where the loop asks for a second operator."""
    by = operator_at_terminal(account, otherwise="a terminal")
    made = anonymize_or_ask(lambda: anonymize(**asked), by=by, **asked)
    if isinstance(made, Approval):
        raise _Waits(made)
    return made


class _Waits(Exception):
    """The anonymisation waits for a second operator."""

    def __init__(self, approval: Approval) -> None:
        super().__init__(str(approval))
        self.approval = approval


def _check_used(name: str, technique: Technique) -> None:
    if technique.uses(name):
        return
    owners, flag = techniques_using(name), f"--{name.replace('_', '-')}"
    modes = [owner.mode for owner in owners if owner.name == technique.name and owner.mode is not None]
    if modes:
        raise InputError(f"{flag} belongs to mode {modes[0]}, not to mode {technique.mode}; leave it out")
    names = " and ".join(dict.fromkeys(owner.name for owner in owners))
    raise InputError(f"{flag} belongs to {names}, not to {technique.name}; leave it out")


def _write_result(release: Release, out: TextIO) -> None:
    if holds_statistics(release):
        out.write(json.dumps(statistics(release), default=str, indent=1) + "\n")
    else:
        export_rows_write(release=release, out=out)
