from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from privacy.models import Consent, PrivacyBudget, Purpose, VaultEvent
from privacy.models.consent import OWN_SOURCE
from privacy.services.people.consent import Grantor, consent_grant, consent_withdraw
from privacy.services.people.erasure import person_erase
from privacy.services.people.identity import people_get_or_create
from privacy.services.vault.commitments import text_digest

pytestmark = pytest.mark.django_db
BOTH = [Purpose.TRAINING, Purpose.EVALUATION]


@pytest.fixture
def people() -> list[int]:
    return list(people_get_or_create(population="app", identifiers=["ann", "ben"]).values())


def masks(people: list[int]) -> list[int]:
    found = dict(PrivacyBudget.objects.values_list("person_id", "consent_mask"))
    return [found[p] for p in people]


def acts(person: int) -> list[tuple[str, bool]]:
    return list(Consent.objects.filter(person_id=person).order_by("id").values_list("purpose", "granted"))


def test_granting_and_withdrawing_is_written_and_in_force(people: list[int]) -> None:
    assert consent_grant(person_ids=people, purposes=BOTH, source="the app") == 4
    assert masks(people) == [6, 6]
    assert consent_withdraw(person_ids=people[:1], purposes=[Purpose.TRAINING], source="the app") == 1
    assert masks(people) == [4, 6]
    assert acts(people[0]) == [("training", True), ("evaluation", True), ("training", False)]


def test_the_same_again_is_no_act(people: list[int]) -> None:
    consent_grant(person_ids=people, purposes=BOTH, source="the app")
    assert consent_grant(person_ids=people, purposes=BOTH, source="the app") == 0
    for first in (2, 0):
        assert consent_withdraw(person_ids=people, purposes=[Purpose.PERSONALIZATION], source="the app") == first
    assert Consent.objects.count() == 6


def test_a_new_text_is_a_new_act_and_the_vault_knows_which(people: list[int]) -> None:
    for text in ("1", "2", "2"):
        consent_grant(person_ids=people[:1], purposes=[Purpose.TRAINING], source="the app", text_version=text)
    found = Consent.objects.filter(person_id=people[0]).order_by("id").values_list("text_version", flat=True)
    assert list(found) == ["1", "2"] and masks(people) == [2, 0]
    assert [e.body["text"] for e in VaultEvent.objects.order_by("sequence")] == [text_digest("1"), text_digest("2")]


def test_a_grant_that_keeps_answers_does_not_undo_a_withdrawal(people: list[int]) -> None:
    consent_grant(person_ids=people[:1], purposes=BOTH, source="the app")
    consent_withdraw(person_ids=people[:1], purposes=BOTH, source="the app")
    assert consent_grant(person_ids=people, purposes=BOTH, source="a file", by="file") == 2
    assert masks(people) == [0, 6]


ONE = [Purpose.TRAINING]


def by_service(people: list[int], text: str = "1") -> int:
    return consent_grant(person_ids=people, purposes=ONE, source="api", text_version=text, by="service")


def test_a_service_says_what_a_person_consented_to_and_tells_of_a_new_text(people: list[int]) -> None:
    assert by_service(people) == 2 and by_service(people) == 0 and masks(people) == [2, 2]
    assert by_service(people, "2") == 2


def test_a_service_that_repeats_itself_undoes_no_withdrawal(people: list[int]) -> None:
    by_service(people)
    consent_withdraw(person_ids=people, purposes=ONE, source="api")
    assert by_service(people) == 0 and masks(people) == [0, 0]
    assert by_service(people, "2") == 2, "a text that was not withdrawn is another question"


@pytest.mark.parametrize("text", ["1", "2"])
def test_a_persons_own_withdrawal_outranks_everybody_but_them(people: list[int], text: str) -> None:
    by_service(people)
    consent_withdraw(person_ids=people, purposes=ONE, source=OWN_SOURCE)
    assert by_service(people, text) == 0
    assert consent_grant(person_ids=people, purposes=ONE, source="a file", text_version=text, by="file") == 0
    assert consent_grant(person_ids=people, purposes=ONE, source=OWN_SOURCE, text_version=text) == 2


def test_after_an_erasure_only_the_person_consents(people: list[int]) -> None:
    by_service(people)
    person_erase(person_id=people[0], source="test")
    assert people_get_or_create(population="app", identifiers=["ann"])["ann"] == people[0]
    assert by_service(people[:1], "2") == 0
    assert consent_grant(person_ids=people[:1], purposes=ONE, source="a file", by="file") == 0 and masks(people) == [
        0,
        2,
    ]
    assert consent_grant(person_ids=people[:1], purposes=ONE, source=OWN_SOURCE) == 1
    assert by_service(people[:1], "2") == 1, "they consent again, so the service may tell of a new text"


def test_a_person_may_change_their_mind(people: list[int]) -> None:
    for _ in range(2):
        consent_grant(person_ids=people, purposes=BOTH, source="the app")
        consent_withdraw(person_ids=people, purposes=BOTH, source="the app")
    assert len(acts(people[0])) == 8 and masks(people) == [0, 0]


def says(people: list[int], granted: bool, source: str, text: str = "1") -> int:
    """The acts written when the person's own device (app) or a service (api) reports an answer."""
    if not granted:
        return consent_withdraw(person_ids=people, purposes=ONE, source=source, text_version=text)
    by: Grantor = "person" if source == OWN_SOURCE else "service"
    return consent_grant(person_ids=people, purposes=ONE, source=source, text_version=text, by=by)


@pytest.mark.parametrize("text", ["1", "2"])
def test_what_a_person_never_granted_they_refuse_for_good(people: list[int], text: str) -> None:
    assert says(people, False, OWN_SOURCE) == 2 and masks(people) == [0, 0]
    assert consent_grant(person_ids=people, purposes=ONE, source="a file", text_version=text, by="file") == 0
    assert says(people, True, "api", text) == 0
    assert says(people, True, OWN_SOURCE, text) == 2 and masks(people) == [2, 2]


def test_a_persons_own_refusal_after_that_of_a_service_closes_it_to_the_service(people: list[int]) -> None:
    says(people, True, "api")
    says(people, False, "api")
    assert says(people, False, OWN_SOURCE) == 2
    assert says(people, True, "api", "2") == 0 and masks(people) == [0, 0]


def test_a_refusal_that_a_service_reports_closes_a_purpose_to_files_until_it_reports_another(people: list[int]) -> None:
    assert says(people, False, "api") == 2
    assert consent_grant(person_ids=people, purposes=ONE, source="a file", by="file") == 0
    assert says(people, True, "api") == 2 and masks(people) == [2, 2]
    assert says(people, False, "api") == 2 and says(people, True, "api") == 0, "this was withdrawn"


def test_a_service_that_knows_of_a_refusal_of_a_text_reports_no_consent_to_it(people: list[int]) -> None:
    says(people, True, "api")
    says(people, False, "api")
    assert says(people, False, "api", "2") == 2
    assert says(people, True, "api", "2") == 0 and says(people, True, "api", "3") == 2


def test_a_person_confirms_once_what_others_said_for_them(people: list[int]) -> None:
    consent_grant(person_ids=people, purposes=ONE, source="a file", by="file")
    assert [says(people, True, OWN_SOURCE) for _ in range(3)] == [2, 0, 0]
    assert [says(people, True, "api") for _ in range(2)] == [0, 0], "the person's own word holds that of others"


@pytest.mark.parametrize("granted", [True, False])
def test_answers_that_are_repeated_at_every_start_are_written_once(people: list[int], granted: bool) -> None:
    """Two apps that repeat themselves by turns, under texts of their own, end up adding nothing."""
    written = [
        says(people[:1], granted, source, text) for _ in range(5) for source, text in [(OWN_SOURCE, "1"), ("api", "2")]
    ]
    assert sum(written[2:]) == 0 and Consent.objects.count() == sum(written)
    assert len(VaultEvent.objects.all()) == sum(written) and masks(people) == [2 * granted, 0]


@pytest.mark.production
def test_the_budget_rows_are_locked_in_order(people: list[int]) -> None:
    with CaptureQueriesContext(connection) as queries:
        consent_withdraw(person_ids=people, purposes=[Purpose.TRAINING], source="the app")
    lock, *others = [q["sql"] for q in queries.captured_queries if q["sql"].endswith("FOR UPDATE")]
    assert lock.startswith('SELECT "privacy_budget"."person_id"') and lock.endswith("ORDER BY 1 ASC FOR UPDATE")
    assert all('FROM "vault_heads"' in other for other in others), "the Trust Vault's head is the last lock"
