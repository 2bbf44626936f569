"""``manage.py approvals``: list requests that wait for a second operator, show one, approve or decline it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from core.sentences import sentence
from privacy.management.terminal_account import operator_at_terminal
from privacy.models import Approval, ApprovalState
from privacy.selectors.approvals import APPROVAL_STATES, approval_get, approvals_in, state_of_approval
from privacy.services.approvals.decide import approval_approve, approval_decline
from privacy.services.approvals.doors import done_how

_SHOWN = 50


class Command(BaseCommand):
    help = "List requests that wait for a second operator, show one, approve or decline it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        listed = verbs.add_parser("list", help="list requests, newest first")
        listed.add_argument("--state", choices=APPROVAL_STATES, default=ApprovalState.WAITING.value)
        _numbered(verbs.add_parser("show", help="show what was asked for, by whom and why, and what became of it"))
        approve = verbs.add_parser(
            "approve", help="approve a request of another operator; then it is done, or queued for the workers"
        )
        decline = verbs.add_parser("decline", help="decline a request; nothing is done")
        for decides in (approve, decline):
            _numbered(decides)
            decides.add_argument(
                "--account", required=True, metavar="NAME",
                help="your account; its password is asked for, or read from standard input",
            )  # fmt: skip
        approve.add_argument("--reason", default="", help="why; it is stored permanently")
        decline.add_argument("--reason", required=True, help="why; it is stored permanently")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            lines = _VERBS[options["verb"]](options)
        except R3alError as error:
            raise CommandError(str(error)) from None
        for line in lines:
            self.stdout.write(line)


def _numbered(parser: ArgumentParser) -> None:
    parser.add_argument("number", type=int, metavar="NUMBER", help="number of the request")


def _line(found: Approval) -> str:
    return f"{found.pk}: {found.loop.name}, {found.act}, {state_of_approval(found)}, asked by {found.asked_by}: {found.words}"


def _list(options: dict[str, Any]) -> list[str]:
    state = options["state"]
    return [_line(found) for found in approvals_in(state)[:_SHOWN]] or [f"there is no request in state {state}"]


def _show(options: dict[str, Any]) -> list[str]:
    found = approval_get(options["number"])
    lines = [
        _line(found),
        f"  Asked {found.created_at:%Y-%m-%d %H:%M} UTC, expires {found.expires_at:%Y-%m-%d %H:%M} UTC.",
    ]
    lines += [f"  {name}: {value}" for name, value in (found.parameters | found.seen).items()]
    lines += [f"  Reason: {found.reason}"] if found.reason else []
    if found.decided_at:
        decided = f"{state_of_approval(found)} by {found.decided_by} {found.decided_at:%Y-%m-%d %H:%M} UTC"
        lines.append(f"  {sentence(decided)} {found.decision}".rstrip())
    return [*lines, f"  Made: {found.made}"] if found.made else lines


def _approve(options: dict[str, Any]) -> list[str]:
    by = operator_at_terminal(options["account"], otherwise="")
    done = approval_approve(number=options["number"], by=by, reason=options["reason"])
    return [f"{done} of {done.asked_by} is approved by {done.decided_by}, and {done_how(done)}: {done.made}"]


def _decline(options: dict[str, Any]) -> list[str]:
    by = operator_at_terminal(options["account"], otherwise="")
    done = approval_decline(number=options["number"], by=by, reason=options["reason"])
    return [f"{done} of {done.asked_by} is declined by {done.decided_by}; nothing was done"]


_VERBS = {"list": _list, "show": _show, "approve": _approve, "decline": _decline}
