"""Register people's accounts, which own their device tokens. The app's backend registers people; they cannot do so themselves."""

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
    """The result of a registration. ``token`` cannot be retrieved again; it is empty if none was issued."""

    person: Person
    new: bool
    token: str
    expiry: datetime | None


@transaction.atomic
def person_register(
    *, population: str, identifier: str, consents: dict[Purpose, bool], text_version: str, source: str, device: bool
) -> PersonRegistration:
    """Register a person, or find a registered one, and grant or withdraw the named consents.

    A new person gets a device token; with ``device`` a registered person gets a further one. Raises InputError for an empty or
    too long identifier.
    """
    if not identifier.strip() or len(identifier) > LONGEST_IDENTIFIER:
        raise InputError(f"userId has 1 to {LONGEST_IDENTIFIER} characters")
    person = Person.objects.get(pk=people_get_or_create(population=population, identifiers=[identifier])[identifier])
    account = PersonAccount.objects.filter(person=person).select_related("user").first()
    new = account is None
    if account is None:
        user = get_user_model().objects.create_user(f"person-{secrets.token_hex(12)}")  # a name that identifies nobody
        account = PersonAccount.objects.create(user=user, person=person)
    consents_set(person=person, consents=consents, text_version=text_version, source=source)
    token, expiry = "", None
    if new or device:
        auth_token, token = get_token_model().objects.create(account.user)
        expiry = auth_token.expiry
    return PersonRegistration(person, new, token, expiry)


@transaction.atomic
def consents_set(*, person: Person, consents: dict[Purpose, bool], text_version: str, source: str) -> None:
    """Grant or withdraw each named purpose, as acts in the consent history. Purposes already in that state are unchanged."""
    for change, grant in ((consent_grant, True), (consent_withdraw, False)):
        purposes = [p for p, granted in consents.items() if granted is grant]
        if purposes:
            change(person_ids=[person.pk], purposes=purposes, source=source, text_version=text_version)


def consents_of(person: Person) -> dict[str, bool]:
    """Return a person's current consent, by purpose."""
    mask = person.budget.consent_mask
    return {p.value: bool(mask & p.bit) for p in Purpose}
