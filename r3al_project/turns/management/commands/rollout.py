"""``manage.py rollout``: list rollouts, show one, steer it, or show what other terms would have done."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from deployments.engine.rollouts.staged import CanaryTerms
from deployments.engine.rollouts.strategies import CANARY, STRATEGIES
from deployments.models import Deployment
from deployments.selectors.rollout_dry_run import rollout_dry_run
from deployments.selectors.rollouts import last_checks, progress_of, rollout_get, rollout_newest, rollouts_all
from deployments.services.rollouts.canary import staged_terms
from deployments.services.rollouts.gate_standing import gate_standing
from deployments.services.rollouts.operate import (
    rollout_abort,
    rollout_approve,
    rollout_pause,
    rollout_resume,
)
from deployments.services.ticks.rollout_tick import canary_terms
from loops.engine.spec import WHEN_INSUFFICIENT
from loops.selectors import loop_version_current
from privacy.management.terminal_account import account_option, operator_at_terminal
from privacy.models import Approval
from privacy.selectors.approvals import waits_sentence
from r3al_project.turns.actors import terminal_actor
from r3al_project.turns.guarded_acts import promote_or_ask, retry_or_ask
from r3al_project.turns.rollout_evidence import STATE_WORDS, evidence_rows, harm_rows, known_sentences
from r3al_project.turns.rollout_progress import next_step, stage_words, weeks_words
from r3al_project.turns.rollout_sentences import begun_sentence
from training.selectors.versions import version_named

_ACTS = {
    "approve": "take the step that a rollout asks you to approve: the next share, or everybody",
    "pause": "give everybody the present version until the rollout is resumed",
    "resume": "give the version its share of the people again; its stage begins anew",
    "promote": "give the version to everybody now",
    "abort": "end a rollout; everybody keeps the present version",
    "retry": "start an aborted rollout again, with people drawn anew",
}
_PLAIN: dict[str, Callable[..., Any]] = {
    "approve": rollout_approve, "pause": rollout_pause, "resume": rollout_resume, "abort": rollout_abort,
}  # fmt: skip
_GUARDED: dict[str, Callable[..., Deployment | Approval]] = {"promote": promote_or_ask, "retry": retry_or_ask}
_SHOWN = 20


class Command(BaseCommand):
    help = (
        "List rollouts, show one, approve, pause, resume, promote, abort or retry it, or try other terms on past weeks."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        listed = verbs.add_parser("list", help="list the newest rollouts, newest first")
        listed.add_argument("--loop", metavar="NAME", help="only those of one loop")
        _named(verbs.add_parser("show", help="show how far a rollout is, its evidence, and what it waits for"))
        acts = {verb: verbs.add_parser(verb, help=text) for verb, text in _ACTS.items()}
        for act in acts.values():
            _named(act)
            act.add_argument("--reason", required=True, help="why; it is stored permanently")
            account_option(act)
        acts["promote"].add_argument(
            "--override",
            action="store_true",
            help="do it before the evidence says so; your reason is stored as an override",
        )
        acts["abort"].add_argument(
            "--harmful", action="store_true", help="the version caused harm; it is never tried again"
        )
        acts["retry"].add_argument(
            "--override", default="", metavar="REASON", help="why, although there is an objection"
        )
        _dry_run_options(
            verbs.add_parser("dry-run", help="show what a canary would have done in weeks that were lived")
        )

    def handle(self, *args: Any, **options: Any) -> None:
        verb = options["verb"]
        try:
            lines = _act(verb, options) if verb in _ACTS else _READ[verb](options)
        except R3alError as error:
            raise CommandError(str(error)) from None
        for line in lines:
            self.stdout.write(line)


def _named(parser: ArgumentParser) -> None:
    parser.add_argument(
        "rollout", metavar="NAME|ID", help="number of the rollout, or name of its version, for example model_12"
    )


def _dry_run_options(parser: ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("--stages", type=_shares, metavar="SHARES", help="shares of the people, for example 0.1,0.5")
    parser.add_argument("--weeks", type=int, metavar="N", help="whole weeks that each stage lasts")
    parser.add_argument("--extensions", type=int, metavar="N", help="how often a stage may be extended")
    parser.add_argument("--when-insufficient", choices=WHEN_INSUFFICIENT, help="how a stage without proof ends")


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(share) for share in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no list of shares; give numbers such as 0.1,0.5") from None


def _found(name: str) -> Deployment:
    """Return the rollout with a number, or the newest one of a version. Raises NotFound."""
    if name.isascii() and name.isdecimal():
        return rollout_get(int(name))
    return rollout_newest(version_named(name))


def _list(options: dict[str, Any]) -> list[str]:
    found = rollouts_all()
    if options["loop"]:
        found = found.filter(slot__loop=loop_version_current(options["loop"]).loop)
    rollouts = list(found[:_SHOWN])
    return [_line(rollout) for rollout in rollouts] or [
        "there is no rollout yet; start one with `manage.py deploy NAME`"
    ]


def _line(rollout: Deployment) -> str:
    label, state = STRATEGIES[rollout.strategy].label, rollout.get_state_display()
    began = f"{rollout.created_at:%Y-%m-%d}"
    return f"{rollout.pk}: {rollout.slot}, {rollout.version.name}, {label}, {state}, began {began}"


def _show(options: dict[str, Any]) -> list[str]:
    rollout = _found(options["rollout"])
    progress, check = progress_of(rollout), last_checks([rollout]).get(rollout.pk)
    lines = [_line(rollout), f"  {stage_words(rollout, progress)} {weeks_words(rollout, progress)}".rstrip()]
    lines.append(f"  Next: {next_step(rollout, progress, check)}")
    lines.append(f"  Begun by {rollout.actor or 'nobody named'}: {rollout.reason}")
    if check is None:
        return [*lines, "  No verdict is stored yet."]
    when = f"{check.created_at:%Y-%m-%d %H:%M} UTC, stage {check.stage + 1}"
    lines.append(f"  Last verdict, {when}: {check.label}. {' '.join(check.reasons)}")
    if check.step == "wait":
        lines += [f"    {sentence}" for sentence in known_sentences(check)]
    for row in evidence_rows(check):
        lines.append(f"    {row.name}, {row.needed}: {STATE_WORDS[row.state]}; {row.numbers}")
    lines += [f"    {row.name}: {row.percent}% of a proof of harm" for row in harm_rows(check)]
    return lines


def _act(verb: str, options: dict[str, Any]) -> list[str]:
    rollout, reason = _found(options["rollout"]), options["reason"]
    more: dict[str, Any] = {}
    if verb == "abort":
        more = {"harmful": options["harmful"]}
    elif verb == "retry":
        more = {"override": options["override"]}
    elif verb == "promote":
        more = {"override": reason if options["override"] else ""}
    by = operator_at_terminal(options["account"], otherwise=terminal_actor())
    if verb in _GUARDED:
        made = _GUARDED[verb](rollout=rollout, by=by, reason=reason, **more)
        if isinstance(made, Approval):
            return [waits_sentence(made)]
        if verb == "retry":
            return [begun_sentence(made)]
    else:
        _PLAIN[verb](rollout=rollout, actor=by.name, reason=reason, **more)
    return _show({"rollout": str(rollout.pk)})[:3]


def _dry_run(options: dict[str, Any]) -> list[str]:
    rollout = _found(options["rollout"])
    terms = _terms(rollout, options)
    walk = rollout_dry_run(rollout, terms)
    lines = [f"a canary over the weeks of rollout {rollout.pk} ({rollout.version}); nothing is written"]
    for at in walk:
        said = f"{at.verdict.step}, {at.verdict.label}"
        lines.append(
            f"  week {at.week}, stage {at.stage + 1} of {len(terms.stages)}: {said}. {' '.join(at.verdict.reasons)}"
        )
    if walk[-1].verdict.step in ("wait", "extend", "advance"):
        lines.append("  No more weeks are stored. The canary would still be in progress.")
    lines.append("  Not part of it: latency, and whether the arms have the declared ratio.")
    return lines


def _terms(rollout: Deployment, options: dict[str, Any]) -> CanaryTerms:
    """Return the terms to try: those of the rollout or of its loop, with what was asked for. Raises InputError."""
    stored = dict(rollout.frozen_policy)
    if rollout.strategy != CANARY:
        spec = loop_version_current(rollout.slot.loop.name).spec
        stored = staged_terms(gate_standing(rollout.version), spec, None)
    asked = {
        "stages": options["stages"],
        "dwell_weeks": options["weeks"],
        "extensions": options["extensions"],
        "when_insufficient": options["when_insufficient"],
    }
    return replace(canary_terms(stored), **{name: value for name, value in asked.items() if value is not None})


_READ = {"list": _list, "show": _show, "dry-run": _dry_run}
