"""People who were stored before identifiers were normalised: whoever was one person is one person again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.digests import PERSON, keyed
from privacy.engine.dp.accounting import NANO, epsilon_of_gdp
from privacy.models import Consent, DataKey, Person, PrivacyBudget, Purpose, VaultEvent
from privacy.models.consent import OWN_SOURCE
from privacy.selectors.budgets import budget_summary
from privacy.services.people.consent import consent_grant, consent_withdraw, refusals_lift
from privacy.services.people.devices import Origin
from privacy.services.people.erasure import person_erase, tombstones, tombstones_replay
from privacy.services.people.export import vault_events_of
from privacy.services.people.identity import people_erased, people_get_or_create, person_find, person_key
from privacy.services.people.spellings import spelling_fold
from privacy.services.vault.adopt import vault_prepare
from privacy.services.vault.stored_rows import people_seal
from privacy.services.vault.verify import vault_audit

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
        assert (budget.spent_lifetime, budget.spent_day, budget.spent_month, budget.rho_spent) == (8, 2, 3, 22)
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


@pytest.fixture
def twice() -> tuple[int, int]:
    """One person, stored as 12 and, by an earlier version, as 12.0."""
    vault_prepare()
    ids = people_get_or_create(population="app", identifiers=["12", "other"])
    Person.objects.filter(pk=ids["other"]).update(key=keyed(PERSON, "app", "12.0").hex())
    people_seal(Person.objects.filter(pk=ids["other"]))
    return ids["12"], ids["other"]


def mask_once_folded(pk: int) -> int:
    assert people_get_or_create(population="app", identifiers=["12.0"]) == {"12.0": pk}
    return PrivacyBudget.objects.get(pk=pk).consent_mask


@pytest.mark.parametrize("source", [OWN_SOURCE, "api"])
@pytest.mark.parametrize("refuses", ["12", "12.0"])
def test_what_either_spelling_refused_stays_refused(twice: tuple[int, int], refuses: str, source: str) -> None:
    pk, other = twice
    consent_grant(person_ids=twice, purposes=list(Purpose), source="a file", by="file")
    consent_withdraw(
        person_ids=[pk if refuses == "12" else other], purposes=[Purpose.TRAINING], source=source, text_version="7",
        origin=Origin(7, "backend", "d"),
    )  # fmt: skip
    assert mask_once_folded(pk) == Purpose.PERSONALIZATION.bit | Purpose.EVALUATION.bit
    newest = Consent.objects.filter(person_id=pk, purpose=Purpose.TRAINING).order_by("id").last()
    assert newest is not None and (newest.granted, newest.source, newest.text_version) == (False, source, "7")
    assert (newest.account_id, newest.device) == (7, "d"), "so it stays closed to devices of other accounts"
    may_report = source != OWN_SOURCE
    found = consent_grant(person_ids=[pk], purposes=[Purpose.TRAINING], source="api", text_version="8", by="service")
    assert found == may_report, "who refused is known, too"
    assert vault_audit().broken == ""


def test_each_apps_refusal_of_the_other_spelling_is_kept_unless_it_was_lifted(twice: tuple[int, int]) -> None:
    pk, other = twice
    consent_withdraw(person_ids=[other], purposes=[Purpose.TRAINING], source="api", text_version="5")
    for account in (7, 8, 9):
        consent_withdraw(
            person_ids=[other], purposes=[Purpose.TRAINING], source=OWN_SOURCE, origin=Origin(account, "", str(account))
        )
    lifted = Origin(8, "", "8")
    refusals_lift(person_id=other, purposes=[Purpose.TRAINING], text_version="1", origin=lifted)
    assert mask_once_folded(pk) == 0
    kept = Consent.objects.filter(person_id=pk, purpose=Purpose.TRAINING).order_by("id")
    assert list(kept.values_list("source", "account_id")) == [("api", None), (OWN_SOURCE, 7), (OWN_SOURCE, 9)]
    assert not kept.filter(lifts=True).exists() and vault_audit().broken == ""


def test_a_consent_of_the_other_spelling_is_none_of_this_one(twice: tuple[int, int]) -> None:
    pk, other = twice
    consent_grant(person_ids=[other], purposes=list(Purpose), source=OWN_SOURCE)
    assert mask_once_folded(pk) == 0


def test_an_erasure_of_either_spelling_ends_what_nobody_consented_to_since(twice: tuple[int, int]) -> None:
    pk, other = twice
    consent_grant(person_ids=[pk], purposes=[Purpose.TRAINING, Purpose.EVALUATION], source="a file", by="file")
    person_erase(person_id=other, source="test")
    erased_at = Person.objects.get(pk=other).last_erased_at
    consent_grant(person_ids=[pk], purposes=[Purpose.EVALUATION], source=OWN_SOURCE)
    assert mask_once_folded(pk) == Purpose.EVALUATION.bit
    assert people_erased(population="app", identifiers=["12"]) == {"12": erased_at}
    assert vault_audit().broken == ""


def test_the_formal_account_of_both_is_that_of_one_human_in_the_same_releases(twice: tuple[int, int]) -> None:
    mu = 0.3
    PrivacyBudget.objects.filter(pk__in=twice).update(rho_spent=int(mu**2 / 2 * NANO))
    mask_once_folded(twice[0])
    formal = budget_summary(PrivacyBudget.objects.get(pk=twice[0]))["formal"]
    assert formal["void_since"] is None and formal["epsilon"] == pytest.approx(epsilon_of_gdp(2 * mu, 1e-6), rel=1e-6)


def test_a_formal_account_that_cannot_hold_what_both_spent_is_void(twice: tuple[int, int]) -> None:
    PrivacyBudget.objects.filter(pk__in=twice).update(rho_spent=int(0.9 * NANO))
    mask_once_folded(twice[0])
    budget = PrivacyBudget.objects.get(pk=twice[0])
    assert budget.rho_spent == budget.rho_cap, "nothing formal is charged any more"
    assert budget_summary(budget)["formal"]["epsilon"] is None and budget.formal_void_at is not None
    assert PrivacyBudget.objects.get(pk=twice[1]).formal_void_at is None
