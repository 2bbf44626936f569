"""People who were stored before identifiers were normalised: whoever was one person is one person again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.digests import PERSON, keyed
from privacy.models import DataKey, Person, PrivacyBudget, Purpose, VaultEvent
from privacy.services.people.consent import consent_grant
from privacy.services.people.erasure import person_erase, tombstones, tombstones_replay
from privacy.services.people.export import vault_events_of
from privacy.services.people.identity import people_erased, people_get_or_create, person_find, person_key
from privacy.services.people.spellings import spelling_fold

pytestmark = pytest.mark.django_db(transaction=True)


def stored_as(spelling: str, **budget: int) -> int:
    """A person as an earlier version stored them: under the digest of the text as it was given."""
    (pk,) = people_get_or_create(population="app", identifiers=["somebody"]).values()
    Person.objects.filter(pk=pk).update(key=keyed(PERSON, "app", spelling).hex())
    PrivacyBudget.objects.filter(person_id=pk).update(**budget)
    return pk


@pytest.mark.parametrize(
    ("spelling", "given"), [("12.0", "12"), ("12.0", "12.0"), ("Ame\u0301lie", "Am\u00e9lie"), ("\uff11", "\uff11")]
)
def test_they_are_found_and_keep_their_budget_and_their_events(spelling: str, given: str) -> None:
    pk = stored_as(spelling, spent_lifetime=123)
    consent_grant(person_ids=[pk], purposes=[Purpose.TRAINING], source="app")
    found = person_find(population="app", identifier=given)
    assert found is not None and found.pk == pk, "a search changes nothing"
    assert people_get_or_create(population="app", identifiers=[given]) == {given: pk}
    person = Person.objects.get(pk=pk)
    assert person.key == person_key(population="app", identifier=given) and person.budget.spent_lifetime == 123
    assert [e.kind for e in vault_events_of(person)] == ["consent"], "the Trust Vault still knows whose events they are"


def test_an_erased_spelling_is_remembered_and_gives_no_budget_back() -> None:
    pk = stored_as("12.0", spent_lifetime=123)
    person_erase(person_id=pk, source="test")
    assert set(people_erased(population="app", identifiers=["12", "13"])) == {"12"}
    assert people_get_or_create(population="app", identifiers=["12"]) == {"12": pk}
    assert PrivacyBudget.objects.get(pk=pk).spent_lifetime == 123
    assert set(people_erased(population="app", identifiers=["12"])) == {"12"}


def test_a_backup_from_before_is_erased_again_by_either_spelling() -> None:
    pk = stored_as("12.0")
    before = Person.objects.values("key", "first_key", "erased_at").get()
    people_get_or_create(population="app", identifiers=["12"])
    between = Person.objects.values("key", "first_key", "erased_at").get()
    person_erase(person_id=pk, source="test")
    lines = tombstones()
    for backup in (before, between):
        Person.objects.filter(pk=pk).update(**backup)
        assert tombstones_replay(lines, source="test") == 1


def test_who_was_counted_twice_has_one_budget_and_the_other_is_erased() -> None:
    other = stored_as("12.0", spent_lifetime=5, spent_day=2, rho_spent=7)
    consent_grant(person_ids=[other], purposes=[Purpose.TRAINING], source="app")
    stale = datetime.now(UTC).date() - timedelta(days=40)
    PrivacyBudget.objects.filter(pk=other).update(month=stale.replace(day=1), spent_month=5)
    people_get_or_create(population="app", identifiers=["elsewhere"])
    Person.objects.exclude(pk=other).update(key=person_key(population="app", identifier="12"))
    pk = Person.objects.exclude(pk=other).get().pk
    PrivacyBudget.objects.filter(pk=pk).update(spent_lifetime=3, spent_month=3, rho_spent=4)
    for _ in range(3):
        assert people_get_or_create(population="app", identifiers=["12"]) == {"12": pk}
        budget = PrivacyBudget.objects.get(pk=pk)
        assert (budget.spent_lifetime, budget.spent_day, budget.spent_month, budget.rho_spent) == (8, 2, 3, 11)
    assert not DataKey.objects.filter(person_id=other).exists()
    assert VaultEvent.objects.get(kind="erasure").body["reason"] == "duplicate"
    assert Person.objects.get(pk=other).erased_at is not None


def test_what_two_spellings_spent_together_above_a_cap_ends_every_charge() -> None:
    ids = people_get_or_create(population="app", identifiers=["one", "two"])
    one, two = ids["one"], ids["two"]
    cap = PrivacyBudget.objects.get(pk=one).cap_lifetime
    PrivacyBudget.objects.update(spent_lifetime=cap - 1)
    person_erase(person_id=two, source="test")
    spelling_fold(other_id=two, key=Person.objects.get(pk=two).key, into_id=one)
    assert PrivacyBudget.objects.get(pk=one).spent_lifetime == cap
