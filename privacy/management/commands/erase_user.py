"""``manage.py erase_user``: erase a person; or list the tombstones, and replay them on a backup that was restored."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from loops.selectors import DEFAULT_LOOP, loop_version_current
from privacy.models import Person
from privacy.services.people.erasure import person_erase, tombstones, tombstones_replay
from privacy.services.people.identity import person_key


class Command(BaseCommand):
    help = (
        "Erase a person: their data key, their rows and their login. What they spent of their budget stays, so that registering "
        "anew gives nothing back. Keep --tombstones beside your backups and --replay them on every restore."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", nargs="?", metavar="USER", help="the identifier that the app gave the person")
        parser.add_argument(
            "--loop", default=DEFAULT_LOOP, help="a loop of the person's population (default: %(default)s)"
        )
        parser.add_argument("--yes", action="store_true", help="do it; without this it is only said what would go")
        parser.add_argument("--tombstones", action="store_true", help="print who was erased, a keyed digest a line")
        parser.add_argument("--replay", type=Path, metavar="FILE", help="erase again whom such a list names")

    def handle(self, *args: Any, **options: Any) -> None:
        if sum((options["user"] is not None, options["tombstones"], options["replay"] is not None)) != 1:
            raise CommandError("name one person, or give --tombstones, or --replay FILE")
        try:
            if options["tombstones"]:
                self.stdout.write("\n".join(tombstones()))
            elif options["replay"] is not None:
                done = tombstones_replay(_lines(options["replay"]), source="replay")
                self.stdout.write(f"{done} people were here again and are erased")
            else:
                self._erase(options)
        except R3alError as error:
            raise CommandError(str(error)) from None

    def _erase(self, options: dict[str, Any]) -> None:
        population = loop_version_current(options["loop"]).spec.population
        key = person_key(population=population, identifier=options["user"])
        person = Person.objects.filter(population=population, key=key).first()
        if person is None:
            raise CommandError(f"there is nobody of that name in population {population!r}, or they are erased already")
        if not options["yes"]:
            self.stdout.write(f"{person} would be erased for good; add --yes to do it")
            return
        gone = person_erase(person_id=person.pk, source="command")
        self.stdout.write(
            f"{person} is erased: {gone.signals} signals, {gone.decisions} decisions and {gone.exports} stored exports went; "
            f"{len(gone.releases)} releases that they were in stay in the log"
        )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {getattr(error, 'strerror', 'it is no text')}") from None
