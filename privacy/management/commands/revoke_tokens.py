"""``manage.py revoke_tokens``: end the device tokens of a person, or the tokens of a service's or an operator's account."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from loops.selectors import DEFAULT_LOOP, loop_version_current
from privacy.services.people.identity import person_find
from privacy.services.people.tokens import person_tokens_revoke, tokens_revoke


class Command(BaseCommand):
    help = (
        "Revoke all API tokens of a person (the devices log in anew once the app's backend registers them) or of an account. "
        "Every process refuses them within two seconds."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", nargs="?", metavar="USER", help="the person's identifier in the app")
        parser.add_argument(
            "--loop", default=DEFAULT_LOOP, help="a loop of the person's population (default: %(default)s)"
        )
        parser.add_argument(
            "--account", metavar="NAME", help="the account of a service or an operator, by its user name"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if (options["user"] is None) == (options["account"] is None):
            raise CommandError("give exactly one of: a person's identifier, or --account NAME")
        try:
            revoked = self._person(options) if options["account"] is None else self._account(options["account"])
        except R3alError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{revoked} tokens are revoked")

    def _person(self, options: dict[str, Any]) -> int:
        population = loop_version_current(options["loop"]).spec.population
        person = person_find(population=population, identifier=options["user"])
        if person is None:
            raise CommandError(f"population {population!r} has no such person; check USER and --loop")
        return person_tokens_revoke(person_id=person.pk)

    def _account(self, name: str) -> int:
        user = get_user_model().objects.filter(username=name).first()
        if user is None:
            raise CommandError(
                f"there is no account {name!r}; `--account` takes a user name of the admin's list of users"
            )
        return tokens_revoke(user_ids=[user.pk])
