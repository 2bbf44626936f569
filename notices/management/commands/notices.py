"""``manage.py notices``: list what operators were told, test a webhook, and try again what was given up."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from notices.engine.kinds import INFO, NOTICE_LEVELS, levels_from
from notices.models import Notice
from notices.selectors import webhook_named
from notices.services.by_hand import deliveries_retry, webhook_test


class Command(BaseCommand):
    help = "List what operators were told, send a test to a webhook, or try again what was given up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
        listed = acts.add_parser("list", help="print the newest notices")
        listed.add_argument("--last", type=int, default=20, metavar="N", help="how many (default: 20)")
        listed.add_argument(
            "--level", choices=NOTICE_LEVELS, default=INFO, help="this level and louder (default: info)"
        )
        listed.add_argument("--json", action="store_true", help="print one JSON object a line")
        test = acts.add_parser("test-webhook", help="send a test to a webhook now, and say what it answered")
        test.add_argument("name", metavar="NAME", help="name of the webhook")
        retry = acts.add_parser("retry", help="queue again what was given up")
        retry.add_argument(
            "name", metavar="NAME", nargs="?", help="of this webhook alone (default: of all, and e-mail)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        acts = {"list": self._list, "test-webhook": self._test, "retry": self._retry}
        try:
            acts[options["act"]](options)
        except R3alError as error:
            raise CommandError(str(error)) from None

    def _list(self, options: dict[str, Any]) -> None:
        if not 1 <= options["last"] <= 10_000:
            raise CommandError(f"--last is {options['last']}; it must lie between 1 and 10,000")
        found = Notice.objects.filter(level__in=levels_from(options["level"])).order_by("-pk")[: options["last"]]
        for notice in found:
            self.stdout.write(_as_json(notice) if options["json"] else _as_line(notice))
        if not found and not options["json"]:
            self.stdout.write("No notice yet.")

    def _test(self, options: dict[str, Any]) -> None:
        endpoint = webhook_named(options["name"])
        answer = webhook_test(endpoint)
        if answer.result.error:
            raise CommandError(
                f"the webhook {endpoint.name!r} did not take the test: {answer.result.error}, after {answer.seconds:.1f} s"
            )
        self.stdout.write(f"The webhook {endpoint.name} took the test in {answer.seconds:.1f} s.")

    def _retry(self, options: dict[str, Any]) -> None:
        queued = deliveries_retry(webhook_named(options["name"]) if options["name"] else None)
        words = "1 delivery is" if queued == 1 else f"{queued} deliveries are"
        self.stdout.write(f"{words} queued again." if queued else "Nothing was given up.")


def _as_line(notice: Notice) -> str:
    return f"{notice.created_at:%Y-%m-%d %H:%M:%S} UTC  {notice.level:<7}  {notice.sentence}"


def _as_json(notice: Notice) -> str:
    return json.dumps(
        {
            "at": notice.created_at.isoformat(),
            "kind": notice.kind,
            "level": notice.level,
            "subject": notice.subject,
            "sentence": notice.sentence,
            "facts": notice.facts,
            "link": notice.link,
        },
        ensure_ascii=False,
    )
