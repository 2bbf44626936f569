"""Register people's accounts, which own their device tokens. The app's backend registers people; they cannot do so themselves."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth import get_user_model
from django.db import transaction

from core.errors import RefusedElsewhere
from privacy.models import Person, PersonAccount, Purpose, VaultKind
from privacy.services.people.consent import Grantor, consent_grant, consent_withdraw, refusals_lift
from privacy.services.people.devices import Origin
from privacy.services.people.identity import people_get_or_create
from privacy.services.people.refusals import refused_elsewhere
from privacy.services.people.tokens import device_token_create
from privacy.services.vault.append import subject_of, vault_append
from privacy.services.vault.stored_rows import ACCOUNTS


@dataclass(frozen=True)
class PersonRegistration:
    """The result of a registration. ``token`` cannot be retrieved again; it is empty if none was issued."""

    person: Person
    new: bool
    token: str
    expiry: datetime | None


@transaction.atomic
def person_register(
    *,
    population: str,
    identifier: str,
    consents: dict[Purpose, bool],
    text_version: str,
    source: str,
    device: bool,
    reporter: Origin,
) -> PersonRegistration:
    """Register a person, or find a registered one, and grant or withdraw the named consents.

    A service reports these consents, so it cannot undo a withdrawal or an erasure (``consent_grant``). A new person gets a device
    token; with ``device`` a registered person gets a further one. Raises InputError for an unusable identifier.

    Args: reporter: the account of the service.
    """
    person = Person.objects.get(pk=people_get_or_create(population=population, identifiers=[identifier])[identifier])
    account = PersonAccount.objects.filter(person=person).select_related("user").first()
    new = account is None
    if account is None:
        user = get_user_model().objects.create_user(f"person-{secrets.token_hex(12)}")  # a name that identifies nobody
        account = PersonAccount.objects.create(user=user, person=person)
    consents_set(
        person=person, consents=consents, text_version=text_version, source=source, by="service", origin=reporter
    )
    token, expiry = "", None
    if new or device:
        token, expiry = device_token_create(account, issuer_id=reporter.account_id)
    if new:  # last, because the Trust Vault's head is the last lock
        added = ACCOUNTS.total(PersonAccount.objects.filter(pk=account.pk))
        vault_append(kind=VaultKind.ACCOUNT, body={}, subject=subject_of(person), sums={ACCOUNTS.name: added})
    return PersonRegistration(person, new, token, expiry)


def consents_set(
    *, person: Person, consents: dict[Purpose, bool], text_version: str, source: str, by: Grantor, origin: Origin
) -> None:
    """Withdraw or grant each named purpose, as acts in the consent history. What was said before is not written again.

    Raises RefusedElsewhere for a purpose that the person refused on a device of another account. Then nothing is granted. But
    what is withdrawn is withdrawn, and what this account's devices refused of the granted purposes is lifted: outside a
    transaction both are committed before.
    """
    people, granted = [person.pk], [p for p, given in consents.items() if given]
    withdrawn = [p for p in consents if p not in granted]
    if withdrawn:
        consent_withdraw(person_ids=people, purposes=withdrawn, source=source, text_version=text_version, origin=origin)
    if not granted:
        return
    if by == "person":
        closed = _grant_or_lift(person, granted, text_version, source, origin)
        if closed:
            raise _refused(closed)
        return
    consent_grant(person_ids=people, purposes=granted, source=source, text_version=text_version, by=by, origin=origin)


@transaction.atomic
def _grant_or_lift(
    person: Person, purposes: list[Purpose], text_version: str, source: str, origin: Origin
) -> list[Purpose]:
    """Grant purposes on a device of the person, or lift what was refused on its account's devices where another's refusal stands.

    Returns the purposes that stay closed. Then nothing is granted, and every purpose is lifted: a form that names purposes which
    two apps refused crosswise would never be granted otherwise.
    """
    closed, refused_here = refused_elsewhere(person_id=person.pk, purposes=purposes, account_id=origin.account_id)
    if closed:
        refusals_lift(person_id=person.pk, purposes=refused_here, text_version=text_version, origin=origin)
    else:
        consent_grant(
            person_ids=[person.pk], purposes=purposes, source=source, text_version=text_version, origin=origin
        )
    return closed


def _refused(closed: list[Purpose]) -> RefusedElsewhere:
    named = [purpose.value for purpose in closed]
    return RefusedElsewhere(
        f"the person refused {' and '.join(named)} on a device that another account issued, and that refusal stands; what was "
        "refused on this app is lifted, and nothing was granted; grant it again on a device of that app",
        named,
    )


def consents_of(person: Person) -> dict[str, bool]:
    """Return a person's current consent, by purpose."""
    mask = person.budget.consent_mask
    return {p.value: bool(mask & p.bit) for p in Purpose}
