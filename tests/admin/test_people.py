"""Changing a cap and erasing a person in the admin: asked for, confirmed, permitted, told to the vault."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken

from loops.models import Loop, LoopVersion
from privacy.engine.dp.accounting import NANO
from privacy.models import Person, PersonAccount, PrivacyBudget, VaultEvent
from privacy.services.people.identity import people_get_or_create
from tests.factories.users import staff

WHY = "request"


@pytest.fixture
def budget(house: LoopVersion) -> PrivacyBudget:
    return PrivacyBudget.objects.select_related("person").all()[0]


def cap_url(budget: PrivacyBudget) -> str:
    return reverse("admin:privacy_privacybudget_change_cap", args=[budget.pk])


def erase_url(budget: PrivacyBudget) -> str:
    return reverse("admin:privacy_person_erase", args=[budget.pk])


def erasure(budget: PrivacyBudget, **other: str) -> dict[str, str]:
    return {"_form_submitted": "on", "reason": "request", "confirm": str(budget.pk)} | other


def test_a_cap_is_changed_with_a_reason(operator: Client, budget: PrivacyBudget) -> None:
    sent = {"_form_submitted": "on", "window": "lifetime", "cap": "30", "reason": WHY}
    answer = operator.post(cap_url(budget), sent, follow=True)
    assert "The lifetime cap is now 30." in answer.content.decode()
    budget.refresh_from_db()
    assert budget.cap_lifetime == 30 * NANO and VaultEvent.objects.filter(kind="budget", body__reason=WHY).exists()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"reason": "because"}, "Select a valid choice"),
        ({"cap": "0.000001"}, "spent"),
        ({"window": "rho", "cap": "9"}, "only be lowered"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_moves(
    operator: Client, budget: PrivacyBudget, sent: dict[str, str], said: str
) -> None:
    before = PrivacyBudget.objects.filter(pk=budget.pk).values().get()
    PrivacyBudget.objects.filter(pk=budget.pk).update(spent_lifetime=NANO)
    before["spent_lifetime"] = NANO
    given = {"_form_submitted": "on", "window": "lifetime", "cap": "30", "reason": WHY} | sent
    assert said in operator.post(cap_url(budget), given, follow=True).content.decode()
    assert PrivacyBudget.objects.filter(pk=budget.pk).values().get() == before


def test_a_question_without_an_answer_changes_nothing(operator: Client, budget: PrivacyBudget) -> None:
    assert "Change a cap" in operator.get(cap_url(budget)).content.decode()
    assert "for good" in operator.get(erase_url(budget)).content.decode()
    operator.post(erase_url(budget), {"something": "else"})
    assert not Person.objects.filter(erased_at__isnull=False).exists()


def test_a_person_is_erased_once(operator: Client, budget: PrivacyBudget) -> None:
    answer = operator.post(erase_url(budget), erasure(budget, reason="obligation"), follow=True)
    assert f"Person {budget.pk} is erased" in answer.content.decode()
    assert Person.objects.get(pk=budget.pk).erased_at is not None
    assert VaultEvent.objects.get(kind="erasure").body["reason"] == "obligation"
    page = operator.get(reverse("admin:privacy_person_change", args=[budget.pk])).content.decode()
    assert "Erase this person" not in page


@pytest.mark.parametrize(
    "wrong", [{"confirm": ""}, {"confirm": "yes"}, {"confirm": "0"}, {"reason": ""}, {"reason": "because"}]
)
def test_an_erasure_needs_a_reason_and_the_persons_number_typed(
    operator: Client, budget: PrivacyBudget, wrong: dict[str, str]
) -> None:
    answer = operator.post(erase_url(budget), erasure(budget, **wrong))
    assert answer.status_code == 200 and not Person.objects.filter(erased_at__isnull=False).exists()


class TestFind:
    URL = "admin:privacy_person_find"

    def find(self, client: Client, identifier: str) -> Any:
        return client.post(reverse(self.URL), {"_form_submitted": "on", "identifier": identifier}, follow=True)

    def test_a_person_is_found_by_the_apps_identifier_which_no_address_holds(
        self, operator: Client, house: LoopVersion
    ) -> None:
        pk = people_get_or_create(population=house.loop.population, identifiers=["ann@example.org"])["ann@example.org"]
        answer = self.find(operator, " ann@example.org ")
        assert answer.redirect_chain[-1][0] == reverse("admin:privacy_person_change", args=[pk])
        assert f"This is person {pk}." in answer.content.decode() and "example.org" not in answer.content.decode()

    def test_an_identifier_of_several_populations_lists_their_people(
        self, operator: Client, house: LoopVersion
    ) -> None:
        Loop.objects.create(name="other", population="staff")
        for population in (house.loop.population, "staff"):
            people_get_or_create(population=population, identifiers=["ann"])
        answer = self.find(operator, "ann")
        assert "may be different people" in answer.content.decode() and "id__in=" in answer.redirect_chain[-1][0]

    @pytest.mark.parametrize(("identifier", "said"), [("eve", "Nobody is registered"), ("a\u200bb", "nobody sees")])
    def test_what_is_not_found_is_said(self, operator: Client, house: LoopVersion, identifier: str, said: str) -> None:
        assert said in self.find(operator, identifier).content.decode()

    def test_who_may_only_look_learns_of_nobody(self, house: LoopVersion) -> None:
        assert self.find(staff("privacy.view_person"), "ann").status_code == 403
        assert self.find(staff("privacy.view_person", "privacy.revoke_tokens", name="b"), "ann").status_code == 200


class TestTokens:
    def token(self, user: User) -> str:
        return str(AuthToken.objects.create(user)[1])

    def test_of_a_persons_devices_are_revoked(self, operator: Client, budget: PrivacyBudget) -> None:
        user = User.objects.create_user("device")
        PersonAccount.objects.update_or_create(person_id=budget.pk, defaults={"user": user})
        self.token(user)
        url = reverse("admin:privacy_person_revoke", args=[budget.pk])
        assert staff("privacy.view_person").post(url, {"_form_submitted": "on"}).status_code == 403
        answer = operator.post(url, {"_form_submitted": "on"}, follow=True)
        assert "1 tokens of person" in answer.content.decode() and not AuthToken.objects.filter(user=user).exists()
        assert LogEntry.objects.filter(change_message__contains="revoked 1 tokens").exists(), "who did it is known"

    def test_of_a_service_are_revoked(self, operator: Client, house: LoopVersion) -> None:
        user = User.objects.create_user("a service")
        self.token(user)
        url = reverse("admin:auth_user_revoke", args=[user.pk])
        assert staff("auth.view_user").post(url, {"_form_submitted": "on"}).status_code == 403
        answer = operator.post(url, {"_form_submitted": "on"}, follow=True)
        assert "1 tokens of a service are revoked" in answer.content.decode()
        assert not AuthToken.objects.filter(user=user).exists()


def test_without_the_permission_neither_is_done(house: LoopVersion, budget: PrivacyBudget) -> None:
    viewer = staff("privacy.view_person", "privacy.view_privacybudget")
    assert viewer.post(erase_url(budget), erasure(budget)).status_code == 403
    sent = {"_form_submitted": "on", "window": "lifetime", "cap": "30", "reason": WHY}
    assert viewer.post(cap_url(budget), sent).status_code == 403
    officer = staff("privacy.view_person", "privacy.erase_person", name="officer")
    assert officer.post(erase_url(budget), erasure(budget)).status_code == 302
