"""``manage.py deploy``: deploy a version that a turn evaluated, or begin to try it on some people."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from deployments.engine.traffic_shares import BASIS_POINTS
from deployments.selectors.slots import slot_of
from deployments.services.rollouts.start import STARTERS
from privacy.management.terminal_account import account_option, operator_at_terminal
from privacy.models import Approval
from privacy.selectors.approvals import waits_sentence
from privacy.services.approvals.second_operator import OperatorAccount
from r3al_project.turns.actors import terminal_actor
from r3al_project.turns.guarded_acts import deploy_or_ask
from r3al_project.turns.rollout_sentences import begun_sentence
from r3al_project.turns.sentences import exploration_change
from training.selectors.versions import version_named


class Command(BaseCommand):
    help = "Deploy a version that a turn evaluated, or begin to try it on some of the people."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("version", metavar="NAME", help="name of the version, for example model_12")
        parser.add_argument(
            "--strategy", choices=STARTERS,
            help="default: what a turn would do by itself. That is a trial of a first or an undecided policy, and otherwise a "
            "full rollout",
        )  # fmt: skip
        parser.add_argument(
            "--share", type=float, metavar="PERCENT",
            help="of the people in the first stage of a canary (default: as the loop declares)",
        )  # fmt: skip
        parser.add_argument(
            "--override", default="", metavar="REASON",
            help="deploy it for this reason, although it was judged against another policy or acts like one that did harm",
        )  # fmt: skip
        account_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            by = operator_at_terminal(options["account"], otherwise=terminal_actor())
            self.stdout.write(
                _deploy(options["version"], options["strategy"], options["override"], options["share"], by)
            )
        except R3alError as error:
            raise CommandError(str(error)) from None


def _deploy(name: str, strategy: str | None, override: str, percent: float | None, by: OperatorAccount) -> str:
    version = version_named(name)
    before = slot_of(version).exploration_bp / BASIS_POINTS
    made = deploy_or_ask(
        strategy=strategy,
        version=version,
        by=by,
        reason="deployed by hand",
        override=override,
        share=None if percent is None else percent / 100,
    )
    if isinstance(made, Approval):
        return waits_sentence(made)
    after = slot_of(version).exploration_bp / BASIS_POINTS
    return f"{begun_sentence(made)} Exploration {exploration_change(before, after)}."
