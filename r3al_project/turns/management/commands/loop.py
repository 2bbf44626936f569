"""``manage.py loop add|list|check``: add a loop from a file, list the loops, or check a file."""

from __future__ import annotations

from argparse import ArgumentParser
from itertools import groupby
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from deployments.engine.rollouts.strategies import TRIAL
from deployments.models import Deployment
from deployments.selectors.slots import rollouts_now, serving_now
from loops.engine.features import FeatureMap
from loops.engine.parse.loop import parse_loop
from loops.engine.spec import ImportHead, LoopSpec
from loops.models import LoopVersion
from privacy.management.terminal_account import account_option, operator_at_terminal
from privacy.models import Approval
from privacy.selectors.approvals import waits_sentence
from r3al_project.turns.actors import terminal_actor
from r3al_project.turns.add_loop import loop_text
from r3al_project.turns.guarded_acts import loop_file_or_ask
from r3al_project.turns.rollout_progress import rollout_words
from training.models import ModelVersion


class Command(BaseCommand):
    help = "Add a loop from a TOML file, list the loops, or check a file without writing anything."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        add = verbs.add_parser(
            "add", help="validate FILE, store it as a loop version, and deploy the reference in its slots"
        )
        add.add_argument("file", type=Path)
        add.add_argument("--reason", default="", help="why, if the file asks for a second operator less often")
        account_option(add)
        check = verbs.add_parser("check", help="validate FILE and describe its loop, without writing anything")
        check.add_argument("file", type=Path)
        verbs.add_parser("list", help="list the loops, their versions, and the deployed version of each head")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except R3alError as error:
            raise CommandError(str(error)) from None

    def _add(self, options: dict[str, Any]) -> None:
        by = operator_at_terminal(options["account"], otherwise=terminal_actor())
        made = loop_file_or_ask(path=options["file"], by=by, reason=options["reason"])
        if isinstance(made, Approval):
            self.stdout.write(waits_sentence(made))
            return
        version, new = made
        self.stdout.write(f"{version} {'added' if new else 'is already stored, unchanged'}")
        self._describe(version.spec)

    def _check(self, options: dict[str, Any]) -> None:
        spec = parse_loop(loop_text(options["file"]), source=str(options["file"]))
        self.stdout.write(f"{options['file']} is a valid loop file: {spec.name} version {spec.version}")
        self._describe(spec)

    def _list(self, options: dict[str, Any]) -> None:
        versions = LoopVersion.objects.select_related("loop").order_by("loop__name", "version")
        if not versions:
            self.stdout.write("there is no loop yet; add one with `manage.py loop add FILE`")
        for version in versions:
            tried = {r.slot.head: f", {_tried(r)}" for r in rollouts_now().filter(slot__loop=version.loop)}
            serving = "; ".join(f"{h}: {_version_text(v)}{tried.get(h, '')}" for h, v in serving_now(version).items())
            self.stdout.write(f"{version}: {version.spec.title} ({serving})")

    def _describe(self, spec: LoopSpec) -> None:
        widths = [FeatureMap.of(spec, hinges).width for hinges in (False, True)]
        self.stdout.write(f"  {len(spec.features)} features, phi has {widths[0]} columns ({widths[1]} with hinges)")
        for dynamics, features in groupby(sorted(spec.features, key=lambda f: f.dynamics), key=lambda f: f.dynamics):
            self.stdout.write(f"  {dynamics}: {', '.join(f.name for f in features)}")
        for head in spec.heads:
            logged = ", ".join(f"{a} {p:g}" for a, p in zip(head.actions, head.logging, strict=True))
            self.stdout.write(f"  head {head.name}: {logged}; reference {head.reference}")
            if head.name in spec.imports.heads:
                self.stdout.write(f"    propensity in files: {_propensity_text(spec.imports.heads[head.name])}")


def _propensity_text(columns: ImportHead) -> str:
    if columns.propensities:
        return ", ".join(f"P({action}) in column {column!r}" for action, column in columns.propensities.items())
    if columns.propensity is None:
        return "none, so the logging distribution holds"
    of = f"P({columns.propensity_of})" if columns.propensity_of else "that of the action taken,"
    return f"{of} in column {columns.propensity!r}"


def _tried(rollout: Deployment) -> str:
    is_trial = rollout.strategy == TRIAL
    return f"{rollout.version} is {'on trial' if is_trial else f'tried ({rollout_words(rollout)})'}"


def _version_text(version: ModelVersion) -> str:
    return version.name if version.is_learned else "the reference"
