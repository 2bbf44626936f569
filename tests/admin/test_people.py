"""Changing a cap and erasing a person in the admin: asked for, confirmed, permitted, told to the vault."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from loops.models import LoopVersion
from privacy.engine.dp.accounting import NANO
from privacy.models import Person, PrivacyBudget, VaultEvent
from tests.factories.users import staff

WHY = "asked for by the person in writing"


@pytest.fixture
def budget(house: LoopVersion) -> PrivacyBudget:
    return PrivacyBudget.objects.select_related("person").all()[0]


def cap_url(budget: PrivacyBudget) -> str:
    return reverse("admin:privacy_privacybudget_change_cap", args=[budget.pk])


def erase_url(budget: PrivacyBudget) -> str:
    return reverse("admin:privacy_person_erase", args=[budget.pk])


def test_a_cap_is_changed_with_a_reason(operator: Client, budget: PrivacyBudget) -> None:
    sent = {"_form_submitted": "on", "window": "lifetime", "cap": "30", "reason": WHY}
    answer = operator.post(cap_url(budget), sent, follow=True)
    assert "The lifetime cap is now 30." in answer.content.decode()
    budget.refresh_from_db()
    assert budget.cap_lifetime == 30 * NANO and VaultEvent.objects.filter(kind="budget", body__reason=WHY).exists()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"reason": "because"}, "at least 10 characters"),
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
    answer = operator.post(erase_url(budget), {"_form_submitted": "on"}, follow=True)
    assert f"Person {budget.pk} is erased" in answer.content.decode()
    assert Person.objects.get(pk=budget.pk).erased_at is not None
    page = operator.get(reverse("admin:privacy_person_change", args=[budget.pk])).content.decode()
    assert "Erase this person" not in page


def test_without_the_permission_neither_is_done(house: LoopVersion, budget: PrivacyBudget) -> None:
    viewer = staff("privacy.view_person", "privacy.view_privacybudget")
    assert viewer.post(erase_url(budget), {"_form_submitted": "on"}).status_code == 403
    sent = {"_form_submitted": "on", "window": "lifetime", "cap": "30", "reason": WHY}
    assert viewer.post(cap_url(budget), sent).status_code == 403
    officer = staff("privacy.view_person", "privacy.erase_person", name="officer")
    assert officer.post(erase_url(budget), {"_form_submitted": "on"}).status_code == 302
