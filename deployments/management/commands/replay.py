"""``manage.py replay``: compute served decisions again from their rows, and say whether any comes out otherwise."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from deployments.services.replay import decisions_replay


class Command(BaseCommand):
    help = "Replay served decisions bit for bit from their stored state, seed and versions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", metavar="NAME", help="only this loop's decisions")
        some = parser.add_mutually_exclusive_group()
        some.add_argument("--last", type=int, metavar="N", help="only the newest N")
        some.add_argument("--all", action="store_true", help="every one (the default)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["last"] is not None and options["last"] < 1:
            raise CommandError("--last takes a number of decisions of at least 1")
        count = differ = 0
        first = ""
        for replayed in decisions_replay(loop=options["loop"], last=options["last"]):
            count += 1
            differ += bool(replayed.difference)
            first = first or (replayed.difference and f"decision {replayed.decision_id}: {replayed.difference}")
        if differ:
            raise CommandError(f"{differ} of {count} decisions come out otherwise; the newest is {first}")
        self.stdout.write(f"{count} decisions replayed, all bit for bit as stored")
