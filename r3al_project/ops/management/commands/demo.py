"""``manage.py demo``: run one turn of a loop on a fresh database with a real worker, and show its progress.

Only ``run.py demo`` may continue with a database that is already in use, because it is a demo's own.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from loops.selectors import DEFAULT_LOOP
from privacy.models import Purpose
from privacy.services.vault.adopt import vault_prepare
from r3al_project.ops import demo
from r3al_project.processes.one_at_a_time import FolderTaken, only_one
from r3al_project.turns.actors import terminal_actor
from r3al_project.turns.add_loop import loop_named
from r3al_project.turns.limits import DEFAULT_EPSILON
from r3al_project.turns.progress_view import ProgressView, worker_process
from r3al_project.turns.report import turn_report_write
from r3al_project.turns.services import turn_parameters, turn_settle, turn_start


class Command(BaseCommand):
    help = "Run one turn of a loop on simulated people, or on logged data with --source, and report its result."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
        parser.add_argument("--loop", default=DEFAULT_LOOP, help="name of a loop, or a TOML file")
        parser.add_argument("--source", help="CSV or JSON Lines file of logged decisions")
        parser.add_argument("--users", type=int, default=2_000, help="number of simulated people (without --source)")
        parser.add_argument("--epsilon", type=float, default=DEFAULT_EPSILON, help="privacy budget of the turn")
        parser.add_argument("--seed", type=int, default=1, help="random seed of simulation and training")

    def handle(self, *args: Any, **options: Any) -> None:
        if "R3AL_RUN_PY" not in os.environ and demo.is_prepared():
            raise CommandError(
                "the configured database is in use, and a demo adds simulated people and an administrator to it; "
                "run `python3 run.py demo`, which makes a database of its own"
            )
        try:
            with only_one(settings.VAR_DIR):
                self._run(options)
        except (R3alError, FolderTaken) as error:
            raise CommandError(str(error)) from None

    def _run(self, options: dict[str, Any]) -> None:
        began = time.monotonic()
        call_command("migrate", verbosity=0)
        vault_prepare()
        demo.operator_create(os.environ.get("R3AL_DEMO_USER", "demo"), os.environ.get("R3AL_DEMO_PASSWORD"))
        loop_version = loop_named(options["loop"])
        view = ProgressView()
        view.say(f"loop {loop_version}: {loop_version.spec.title}")
        source, people = demo.source_prepare(loop_version, options, view.say)
        turn = turn_start(
            loop_version=loop_version,
            parameters=turn_parameters(
                epsilon=options["epsilon"], seed=options["seed"], source=source, consents=Purpose.values
            ),
            actor=terminal_actor(),
        )
        with worker_process():
            view.follow(turn)
        turn = turn_settle(turn=turn)
        turn_report_write(
            turn,
            seconds=time.monotonic() - began,
            as_json=options["json"],
            out=sys.stdout,
            true_values=None if people is None else demo.true_values_of(people, view.say),
        )
