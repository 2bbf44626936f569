"""``manage.py decide``: score a file of states with the deployed version, or with a given one."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from deployments.services.serving.batch_scoring import states_decide
from loops.engine.heads import MAIN_HEAD
from loops.selectors import loop_version_current


class Command(BaseCommand):
    help = (
        "Score a CSV or JSON Lines file of states: write the chosen action and each action's probability. Logs nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", required=True, help="the loop's name")
        parser.add_argument(
            "--input", required=True, type=Path, help="file of states, with columns as in the loop's import section"
        )
        parser.add_argument(
            "--output", required=True, type=Path, help="CSV file to write: row, action, p_ACTION ..., version"
        )
        parser.add_argument("--force", action="store_true", help="overwrite an existing --output")
        parser.add_argument("--head", default=MAIN_HEAD, help="a head of the loop (default: %(default)s)")
        parser.add_argument(
            "--version",
            dest="model_version",
            metavar="NAME",
            help="a version for everybody, like model_12 (default: each person's arm, so the deployed one outside a trial)",
        )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Let the model version's ``--version`` replace Django's option, which prints the version of Django."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            scored = states_decide(
                loop_version=loop_version_current(options["loop"]),
                head=options["head"],
                version_name=options["model_version"],
                source=options["input"],
                target=options["output"],
                replace=options["force"],
            )
        except R3alError as error:
            raise CommandError(str(error)) from None
        shares = ", ".join(f"{a} {n / scored.rows:.1%}" for a, n in scored.chosen.items())
        versions = list(scored.versions)
        by = versions[0] if len(versions) == 1 else ", ".join(f"{v} ({n:,})" for v, n in scored.versions.items())
        self.stdout.write(f"{scored.rows:,} states scored by {by} into {options['output']}: {shares}")
        if scored.warning:
            self.stderr.write(f"Note: {scored.warning}.", style_func=self.style.WARNING)
