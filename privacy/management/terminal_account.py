"""Let an operator at a terminal name their account, and prove with its password that it is theirs."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser

from django.contrib.auth import authenticate
from django.http import HttpRequest

from core.errors import Unauthorized
from privacy.services.approvals.second_operator import OperatorAccount

_HERE = "127.0.0.1"


def account_option(parser: ArgumentParser) -> None:
    """Add ``--account`` to a command whose act may need a second operator."""
    parser.add_argument(
        "--account", default="", metavar="NAME",
        help="your account, if the loop asks for a second operator; its password is asked for, or read from standard input",
    )  # fmt: skip


def operator_at_terminal(account: str, *, otherwise: str) -> OperatorAccount:
    """Return who acts at a terminal. ``otherwise``: how records name them if they gave no account. Raises Unauthorized."""
    if not account:
        return OperatorAccount(otherwise, None)
    password = getpass.getpass(f"Password of {account}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = _HERE  # failed attempts count, as at the login page
    user = authenticate(request, username=account, password=password)
    if user is None:
        raise Unauthorized("the account or its password is wrong, or the account is not active")
    return OperatorAccount(user.get_username(), user.pk)
