"""Accounts of people: what their devices' tokens belong to. Registered by the app's backend, never by themselves."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth import get_user_model
from django.db import transaction
from knox.models import get_token_model

from core.errors import InputError
from privacy.models import Person, PersonAccount, Purpose
from privacy.services.people.consent import consent_grant, consent_withdraw
from privacy.services.people.identity import people_get_or_create

LONGEST_IDENTIFIER = 200


@dataclass(frozen=True)
class PersonRegistration:
    """A person as registered; ``token`` is shown this once."""

    person: Person
    new: bool
    token: str
    expiry: datetime | None


@transaction.atomic
def person_register(
    *, population: str, identifier: str, consents: dict[Purpose, bool], text_version: str, source: str, device: bool
) -> PersonRegistration:
    """Register somebody, or find them; consents that are named are granted or withdrawn. A device token when they are new or
    ``device`` asks for a further one.
    """
    if not identifier.strip() or len(identifier) > LONGEST_IDENTIFIER:
        raise InputError(f"userId has 1 to {LONGEST_IDENTIFIER} characters")
    person = Person.objects.get(pk=people_get_or_create(population=population, identifiers=[identifier])[identifier])
    account = PersonAccount.objects.filter(person=person).select_related("user").first()
    new = account is None
    if account is None:
        user = get_user_model().objects.create_user(f"person-{secrets.token_hex(12)}")  # says nothing of who it is
        account = PersonAccount.objects.create(user=user, person=person)
    consents_set(person=person, consents=consents, text_version=text_version, source=source)
    token, expiry = "", None
    if new or device:
        made, token = get_token_model().objects.create(account.user)
        expiry = made.expiry
    return PersonRegistration(person, new, token, expiry)


@transaction.atomic
def consents_set(*, person: Person, consents: dict[Purpose, bool], text_version: str, source: str) -> None:
    """Grant and withdraw, each as an act of history; what is so already is left alone."""
    for change, wanted in ((consent_grant, True), (consent_withdraw, False)):
        purposes = [p for p, granted in consents.items() if granted is wanted]
        if purposes:
            change(person_ids=[person.pk], purposes=purposes, source=source, text_version=text_version)


def consents_of(person: Person) -> dict[str, bool]:
    """What is in force."""
    mask = person.budget.consent_mask
    return {p.value: bool(mask & p.bit) for p in Purpose}
