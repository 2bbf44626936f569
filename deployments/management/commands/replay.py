"""``manage.py replay``: recompute served decisions from their rows and report any difference."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from deployments.services.serving.replay import decisions_replay
from loops.selectors import loop_version_current

_NONE = "Nothing was replayed: no decision was served yet, or every person who got one is erased"


class Command(BaseCommand):
    help = "Replay served decisions bit for bit from their stored state, seed and versions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", metavar="NAME", help="only this loop's decisions")
        number = parser.add_mutually_exclusive_group()
        number.add_argument("--last", type=int, metavar="N", help="only the newest N decisions")
        number.add_argument("--all", action="store_true", help="all decisions (the default)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["last"] is not None and not 1 <= options["last"] <= sys.maxsize:
            raise CommandError(f"--last is {options['last']}; it must lie between 1 and {sys.maxsize}")
        if options["loop"] is not None:
            _check_loop(options["loop"])
        count = differ = 0
        first = ""
        for replayed in decisions_replay(loop=options["loop"], last=options["last"]):
            count += 1
            differ += bool(replayed.difference)
            first = first or (replayed.difference and f"decision {replayed.decision_id}: {replayed.difference}")
        if differ:
            raise CommandError(f"{differ} of {count} decisions differ from what is stored; the newest is {first}")
        self.stdout.write(f"{count} decisions replayed, all bit for bit as stored" if count else _NONE)


def _check_loop(loop: str) -> None:
    try:
        loop_version_current(loop)
    except R3alError as error:
        raise CommandError(str(error)) from None
