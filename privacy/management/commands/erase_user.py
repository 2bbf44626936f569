"""``manage.py erase_user``: erase a person, list the tombstones of erased people, or replay them on a restored backup."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from loops.selectors import DEFAULT_LOOP, loop_version_current
from privacy.services.people.erasure import ErasureReason, person_erase, tombstones, tombstones_replay
from privacy.services.people.identity import person_find


class Command(BaseCommand):
    help = (
        "Erase a person: their data key, their rows and their login. The record of their spent budget stays, so registering "
        "again restores no budget. Store the --tombstones list with your backups, and --replay it after every restore."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", nargs="?", metavar="USER", help="the person's identifier in the app")
        parser.add_argument(
            "--loop", default=DEFAULT_LOOP, help="a loop of the person's population (default: %(default)s)"
        )
        parser.add_argument(
            "--yes", action="store_true", help="erase; without it the command only shows whom it would erase"
        )
        parser.add_argument(
            "--reason",
            choices=ErasureReason.values,
            default=ErasureReason.REQUEST.value,
            help="why, which the Trust Vault records (default: %(default)s, the person asked for it)",
        )
        parser.add_argument(
            "--tombstones", action="store_true", help="print the erased people, one keyed digest per line"
        )
        parser.add_argument(
            "--replay", type=Path, metavar="FILE", help="erase again the people in a list that --tombstones printed"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if sum((options["user"] is not None, options["tombstones"], options["replay"] is not None)) != 1:
            raise CommandError("give exactly one of: a person's identifier, --tombstones, or --replay FILE")
        try:
            if options["tombstones"]:
                self.stdout.write("\n".join(tombstones()))
            elif options["replay"] is not None:
                erased = tombstones_replay(_lines(options["replay"]), source="replay")
                self.stdout.write(f"{erased} restored people are erased again")
            else:
                self._erase(options)
        except R3alError as error:
            raise CommandError(str(error)) from None

    def _erase(self, options: dict[str, Any]) -> None:
        population = loop_version_current(options["loop"]).spec.population
        person = person_find(population=population, identifier=options["user"])
        if person is None:
            raise CommandError(
                f"population {population!r} has no such person, or they are already erased; check USER and --loop"
            )
        if not options["yes"]:
            self.stdout.write(f"{person} would be erased for good; add --yes to do it")
            return
        erased = person_erase(person_id=person.pk, source="command", reason=ErasureReason(options["reason"]))
        self.stdout.write(
            f"{person} is erased: {erased.signals} signals and {erased.decisions} decisions deleted, {erased.exports} stored "
            f"exports emptied; {len(erased.releases)} releases that included them stay in the log"
        )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "it is not UTF-8 text")
        raise CommandError(f"{path} cannot be read ({reason}); give a file that --tombstones printed") from None
