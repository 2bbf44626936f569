"""``manage.py run_loop``: run one turn of a loop and report its result. A file of logged decisions may be imported first."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from loops.engine.heads import MAIN_HEAD
from loops.engine.spec import DEPLOY_MODES
from loops.models import LoopVersion
from privacy.management.terminal_account import account_option, operator_at_terminal
from privacy.models import Approval, Purpose
from privacy.selectors.approvals import waits_facts, waits_sentence
from r3al_project.turns.actors import terminal_actor
from r3al_project.turns.add_loop import loop_named
from r3al_project.turns.guarded_acts import turn_start_or_ask
from r3al_project.turns.limits import DEFAULT_EPSILON
from r3al_project.turns.models import Turn
from r3al_project.turns.progress_view import ProgressView
from r3al_project.turns.report import turn_report_write
from r3al_project.turns.run_in_process import turn_run, turn_run_watched
from r3al_project.turns.services import DELTA, turn_parameters, turn_resume
from training.engine.generators.registry import GENERATORS, WORLD_MODEL
from training.engine.trainers.registry import CONTEXTUAL_BANDITS, FITTED_Q, HEAD_TRAINERS, POLICY_TRAINERS


class Command(BaseCommand):
    help = "Run one turn of a loop in this process, stage by stage, and report its result. Needs no worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", required=True, metavar="NAME", help="name of a loop, or a TOML file")
        parser.add_argument("--head", help="train and deploy only this head (default: every head)")
        parser.add_argument(
            "--epsilon",
            type=float,
            default=DEFAULT_EPSILON,
            help="privacy parameter of the turn, for all its releases together (default: %(default)g)",
        )
        parser.add_argument(
            "--delta",
            type=float,
            default=DELTA,
            help="privacy parameter of the turn, for all its releases together (default: %(default)g)",
        )
        parser.add_argument(
            "--seed", type=int, default=1, help="seed of every random draw but the privacy noise, which has none"
        )
        parser.add_argument(
            "--generator", choices=GENERATORS, default=WORLD_MODEL, help="of synthetic data (default: %(default)s)"
        )
        parser.add_argument(
            "--trainer", choices=POLICY_TRAINERS, default=FITTED_Q, help=f"of {MAIN_HEAD} (default: %(default)s)"
        )
        parser.add_argument(
            "--head-trainer", choices=HEAD_TRAINERS, default=CONTEXTUAL_BANDITS,
            help="of the other heads (default: %(default)s)",
        )  # fmt: skip
        parser.add_argument(
            "--source", type=Path, metavar="FILE", help="first import this CSV or JSON Lines file of logged decisions"
        )
        parser.add_argument(
            "--consent", nargs="+", action="extend", default=[], choices=Purpose.values, metavar="PURPOSE",
            help=f"with --source: purposes that the people in the file consented to ({', '.join(Purpose.values)})",
        )  # fmt: skip
        parser.add_argument(
            "--override-propensities", default="", metavar="REASON",
            help="with --source: import a file whose propensities do not fit its actions, for this reason",
        )  # fmt: skip
        parser.add_argument(
            "--deploy", choices=DEPLOY_MODES,
            help="whether the turn deploys what passed, or leaves it to an operator (default: as the loop declares)",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--watch", action="store_true", help="show a progress bar for each stage")
        how.add_argument("--detach", action="store_true", help="only queue the turn and let the workers run it")
        account_option(parser)
        parser.add_argument("--resume", action="store_true", help="continue the loop's interrupted turn")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options)
        except R3alError as error:
            raise CommandError(str(error)) from None

    def _run(self, options: dict[str, Any]) -> None:
        began = time.monotonic()
        loop_version = loop_named(options["loop"])
        turn = turn_resume(loop_version=loop_version) if options["resume"] else _start(loop_version, options)
        if isinstance(turn, Approval):
            self.stdout.write(json.dumps(waits_facts(turn)) if options["json"] else waits_sentence(turn))
            return
        if options["detach"]:
            self.stdout.write(f"{turn} is queued; the workers run it and the admin shows its progress")
            return
        view = ProgressView()
        turn = turn_run_watched(turn, view) if options["watch"] else turn_run(turn, say=view.say)
        turn_report_write(
            turn,
            seconds=time.monotonic() - began,
            as_json=options["json"],
            out=sys.stdout,
        )


def _start(loop_version: LoopVersion, options: dict[str, Any]) -> Turn | Approval:
    parameters = turn_parameters(
        head=options["head"],
        epsilon=options["epsilon"],
        delta=options["delta"],
        seed=options["seed"],
        generator=options["generator"],
        trainer=options["trainer"],
        head_trainer=options["head_trainer"],
        source=options["source"],
        consents=options["consent"],
        override_propensities=options["override_propensities"],
        deploy=options["deploy"],
    )
    by = operator_at_terminal(options["account"], otherwise=terminal_actor())
    return turn_start_or_ask(loop_version=loop_version, parameters=parameters, by=by)
