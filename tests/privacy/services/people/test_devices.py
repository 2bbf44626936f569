"""An act of consent tells which device spoke and which account issued it, and older acts keep what was recorded of them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from knox.models import AuthToken

from privacy.models import Consent, DeviceToken, Person, PersonAccount, Purpose
from privacy.models.consent import OWN_SOURCE
from privacy.services.people.consent import consent_withdraw
from privacy.services.people.devices import NOBODY, Origin, act_origin, device_origin
from privacy.services.people.tokens import device_token_create
from privacy.services.vault.commitments import row_digest
from privacy.services.vault.stored_rows import CONSENTS
from tests.factories.loops import loop_version
from tests.factories.people import add_people

pytestmark = pytest.mark.django_db
ONE = [Purpose.TRAINING]


@pytest.fixture
def person() -> int:
    return add_people(loop_version(), 1, decided=False)[0]


@pytest.fixture
def backend() -> User:
    return User.objects.create_user("backend")


def device(person: int, issuer: User | None) -> AuthToken:
    """A device of the person that was issued to an account."""
    user, _ = User.objects.get_or_create(username=f"person-{person}")
    account, _ = PersonAccount.objects.get_or_create(user=user, person_id=person)
    device_token_create(account, issuer_id=issuer.pk if issuer else None)
    return AuthToken.objects.order_by("created").last()


def refuse(person: int, origin: Origin, source: str = OWN_SOURCE) -> None:
    consent_withdraw(person_ids=[person], purposes=ONE, source=source, origin=origin)


def test_a_device_is_known_by_a_digest_that_leads_to_no_token(person: int, backend: User) -> None:
    token = device(person, backend)
    origin = device_origin(token)
    assert (origin.account_id, origin.account, origin.issued_at) == (backend.pk, "backend", token.created)
    assert origin == device_origin(token) and origin.device not in token.digest
    assert origin.device != device_origin(device(person, backend)).device


def test_a_device_from_before_issuers_were_stored_names_no_account(person: int) -> None:
    token = device(person, None)
    assert not DeviceToken.objects.exists()
    origin = device_origin(token)
    assert (origin.account_id, origin.account) == (None, "") and origin.device
    assert origin.facts() == {"device": origin.device, "issuer": "", "issued": None}


def test_nobody_behind_an_act_adds_no_facts(person: int) -> None:
    assert NOBODY.facts() == {}


def test_a_deleted_account_keeps_its_number(person: int, backend: User) -> None:
    token, pk = device(person, backend), backend.pk
    backend.delete()
    assert device_origin(token).account == f"account {pk}" and device_origin(token).account_id == pk


def test_an_act_can_be_repeated_as_it_was(person: int, backend: User) -> None:
    refuse(person, device_origin(device(person, backend)))
    origin = act_origin(Consent.objects.get(granted=False))
    assert (origin.account_id, origin.account) == (backend.pk, "backend") and len(origin.device) == 32


def test_acts_that_name_nobody_keep_the_digest_that_was_recorded_of_them(person: int) -> None:
    refuse(person, NOBODY)
    act = Consent.objects.get(granted=False)
    before = row_digest("consents", act.pk, act.created_at, person, "training", False, "1", OWN_SOURCE)
    assert CONSENTS.digest(act) == before and (act.pk, before) in list(CONSENTS.digests())
    Consent.objects.filter(pk=act.pk).update(account_id=0)
    assert CONSENTS.digest(Consent.objects.get(pk=act.pk)) != before
    named = row_digest("consents", act.pk, act.created_at, person, "training", False, "1", OWN_SOURCE, "", 0)
    assert list(CONSENTS.digests()) == [(act.pk, named)], "nor does one that lifts nothing"
    Consent.objects.filter(pk=act.pk).update(lifts=True)
    assert list(CONSENTS.digests()) != [(act.pk, named)]
    assert Person.objects.get().pk == person
