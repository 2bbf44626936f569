"""A person's words on devices of two apps, sent by many real processes at once."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from django.contrib.auth.models import User

from core.errors import RefusedElsewhere
from privacy.models import Consent, Person, PrivacyBudget, Purpose
from privacy.models.consent import OWN_SOURCE
from privacy.services.people.accounts import consents_set
from privacy.services.people.consent import consent_grant
from privacy.services.people.devices import Origin
from privacy.services.people.identity import people_get_or_create
from privacy.services.vault.adopt import vault_prepare
from privacy.services.vault.verify import vault_audit
from tests.fresh_database import create_tables
from tests.races import in_processes, scenarios

WORDS = 30  # of each process


def main() -> dict[str, Any]:
    create_tables()
    vault_prepare()
    accounts = [User.objects.create_user(name).pk for name in ("a", "b")]
    return scenarios(any_words, both_refuse_once, given=accounts)


def any_words(accounts: list[int]) -> dict[str, Any]:
    """Every process grants and refuses at random on a device of its app, or reports a consent as a service."""
    person = registered("any")

    def work(process: int) -> Counter[str]:
        chance, counted = random.Random(process), Counter[str]()
        for word in range(WORDS):
            if process >= 6:
                text = f"{process}-{word}"
                consent_grant(
                    person_ids=[person], purposes=[Purpose.TRAINING], source="api", text_version=text, by="service"
                )
                continue
            counted[say(person, accounts[process % 2], chance.random() < 0.6)] += 1
        return counted

    return {"outcomes": in_processes(work), **replayed(person)}


def both_refuse_once(accounts: list[int]) -> dict[str, Any]:
    """Half of the processes refuse once on a device of the one app, half on one of the other. Then one of them grants."""
    person = registered("both")
    in_processes(lambda process: Counter([say(person, accounts[process % 2], False)]))
    refusals = Counter(Consent.objects.filter(person=person).values_list("account_id", flat=True))
    answers = [say(person, account, True) for account in accounts]
    return {"refusals": sorted(refusals.values()), "answers": answers, **replayed(person)}


def registered(name: str) -> int:
    return people_get_or_create(population="app", identifiers=[name])[name]


def say(person: int, account: int, granted: bool) -> str:
    try:
        consents_set(
            person=Person.objects.get(pk=person), consents={Purpose.TRAINING: granted}, text_version="1",
            source=OWN_SOURCE, by="person", origin=Origin(account, "", "d"),
        )  # fmt: skip
    except RefusedElsewhere:
        return "refused elsewhere"
    return "granted" if granted else "refused"


def replayed(person: int) -> dict[str, Any]:
    """How many grants were written while a refusal of another account stood, and whether the mask is what the acts give."""
    refused: set[int | None] = set()
    broken, granted = 0, False
    for act in Consent.objects.filter(person=person).order_by("pk"):
        granted = act.granted
        if act.granted:
            broken += bool(refused - {act.account_id if act.source == OWN_SOURCE else None})
            refused = set()
        elif act.lifts:
            refused.remove(act.account_id)
        else:
            refused.add(act.account_id)
    mask = PrivacyBudget.objects.get(person=person).consent_mask
    return {
        "granted_over_a_refusal": broken,
        "mask_fits": bool(mask) == granted,
        "granted": granted,
        "vault": vault_audit().broken,
    }
