"""``manage.py story``: live three months of simulated people through the real services, for ``run.py demo``.

Only ``run.py demo`` may run it on a database that is already in use, because it is a demo's own.
"""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser
from io import StringIO
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from core import clock
from core.errors import InputError, R3alError
from privacy.services.vault.adopt import vault_prepare
from r3al_project.ops import demo
from r3al_project.ops.story import chapters
from r3al_project.ops.story.sights import sights_check, sights_of
from r3al_project.ops.story.story import Story, StorySize
from r3al_project.ops.story.telling import Teller
from r3al_project.processes.one_at_a_time import FolderTaken, only_one
from r3al_project.turns.limits import DEFAULT_EPSILON

_FEWEST_PEOPLE = 60
_LIVING_SHARE = 0.24


class Command(BaseCommand):
    help = "Live three simulated months: a first loop, a canary, an A/B test, a version that does harm, a withdrawal."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--users", type=int, default=StorySize.people, help="people with a log (default: %(default)d)"
        )
        parser.add_argument("--epsilon", type=float, default=DEFAULT_EPSILON, help="privacy budget of a turn")
        parser.add_argument("--seed", type=int, default=1, help="random seed of simulation and training")
        parser.add_argument("--port", type=int, default=8000, help="port of the addresses to look at (default: 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        if "R3AL_RUN_PY" not in os.environ and demo.is_prepared():
            raise CommandError(
                "the configured database is in use, and a story adds simulated people and an administrator to it; "
                "run `python3 run.py demo`, which makes a database of its own"
            )
        try:
            with only_one(settings.VAR_DIR):
                self._run(options)
        except (R3alError, FolderTaken) as error:
            raise CommandError(str(error)) from None

    def _run(self, options: dict[str, Any]) -> None:
        began, size = time.monotonic(), _size(options)
        call_command("migrate", verbosity=0)
        vault_prepare()
        call_command("roles", stdout=StringIO())
        operator = os.environ.get("R3AL_DEMO_USER", "demo")
        demo.operator_create(operator, os.environ.get("R3AL_DEMO_PASSWORD"))
        teller = Teller()
        behind = clock.set_back_by()
        try:
            _hurry()
            teller.say(f"The clock is set back by {size.days} days, and {size.people:,} people begin to live.")
            story = Story(size, seed=options["seed"], epsilon=options["epsilon"], operator=operator, teller=teller)
            chapters.story_tell(story)
        finally:
            clock.clock_set_back(behind)
        call_command("prepare", stdout=StringIO())  # as before serving: pages need their static files
        sights = sights_of(story.version.loop)
        sights_check(sights, operator)
        teller.say(f"\nThree months in {time.monotonic() - began:.0f} s. Things to look at:")
        for number, sight in enumerate(sights, 1):
            teller.say(f"  {number}. {sight.what}:\n     http://127.0.0.1:{options['port']}{sight.path}")


def _hurry() -> None:
    """Let commits not wait for the disk. An interrupted story is removed, so nothing of it has to survive a power failure."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=NORMAL")


def _size(options: dict[str, Any]) -> StorySize:
    """Return the size of the story. Raises InputError for people or a seed that no story can have."""
    people = options["users"]
    if not _FEWEST_PEOPLE <= people <= demo.MOST_USERS or options["seed"] < 0:
        raise InputError(
            f"a story has {_FEWEST_PEOPLE} to {demo.MOST_USERS:,} people and a seed of at least 0; give another --users or --seed"
        )
    return StorySize(people=people, living=round(people * _LIVING_SHARE), partner=people)
