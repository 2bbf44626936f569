"""Raising a person's cap waits where a loop of their population asks for a second operator; lowering one never does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.errors import Conflict, Forbidden, NotFound
from loops.models import LoopVersion
from loops.services import loop_add
from privacy.engine.dp.accounting import NANO
from privacy.models import Approval, PrivacyBudget, VaultEvent
from privacy.services.approvals.decide import approval_approve
from privacy.services.approvals.second_operator import OperatorAccount, SecondOperatorNeeded
from privacy.services.budget.caps import CapReason, cap_change
from privacy.services.budget.guarded_caps import cap_change_or_ask
from privacy.services.people.identity import people_get_or_create
from tests.factories.care import care_loop
from tests.factories.operators import approvals_declared, guarded_loop, operator

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop() -> LoopVersion:
    return guarded_loop(["cap"])


@pytest.fixture
def person() -> int:
    return people_get_or_create(population="people", identifiers=["eve"])["eve"]


@pytest.fixture
def olga() -> OperatorAccount:
    return operator("olga", "Privacy officer")


@pytest.fixture
def otto() -> OperatorAccount:
    return operator("otto", "Privacy officer")


def change(person: int, cap: float, by: OperatorAccount, window: str = "month") -> PrivacyBudget | Approval:
    return cap_change_or_ask(person_id=person, window=window, cap=cap, reason=CapReason.STUDY, by=by)


def month(person: int) -> float:
    return PrivacyBudget.objects.get(pk=person).cap_month / NANO


def test_it_waits_and_is_raised_once_another_approves(
    loop: LoopVersion, person: int, olga: OperatorAccount, otto: OperatorAccount
) -> None:
    asked = change(person, 6.0, olga)
    assert isinstance(asked, Approval) and month(person) == 4.0
    assert (asked.act, asked.words) == ("cap", f"Raise the month cap of person {person} to 6.")
    with pytest.raises(Forbidden, match="yourself"):
        approval_approve(number=asked.pk, by=olga)
    assert approval_approve(number=asked.pk, by=otto).made == f"privacy budget {person}" and month(person) == 6.0
    event = VaultEvent.objects.get(kind="budget", body__cap="month")
    assert (event.body["actor"], event.body["second"]) == (f"admin {olga.account}", "otto")


def test_lowering_a_cap_protects_and_waits_for_nobody(loop: LoopVersion, person: int, olga: OperatorAccount) -> None:
    assert isinstance(change(person, 3.0, olga), PrivacyBudget) and month(person) == 3.0


def test_a_cap_that_moved_meanwhile_is_not_what_was_approved(
    loop: LoopVersion, person: int, olga: OperatorAccount, otto: OperatorAccount
) -> None:
    asked = change(person, 6.0, olga)
    assert isinstance(asked, Approval)
    change(person, 2.0, olga)
    with pytest.raises(Conflict, match="no longer applies"):
        approval_approve(number=asked.pk, by=otto)
    assert month(person) == 2.0


def test_a_cap_that_was_raised_further_meanwhile_is_not_lowered_by_an_approval(
    loop: LoopVersion, person: int, olga: OperatorAccount, otto: OperatorAccount
) -> None:
    less, more = change(person, 6.0, olga), change(person, 8.0, olga)
    assert isinstance(less, Approval) and isinstance(more, Approval)
    approval_approve(number=more.pk, by=otto)
    events = VaultEvent.objects.count()
    with pytest.raises(Conflict, match="no longer applies: by now it needs no second operator"):
        approval_approve(number=less.pk, by=otto)
    less.refresh_from_db()
    assert month(person) == 8.0 and less.state == "waiting" and VaultEvent.objects.count() == events


def test_it_waits_at_the_loop_that_declares_it_for_as_long_as_that_loop_says(
    person: int, olga: OperatorAccount
) -> None:
    plain = care_loop()
    declared = f"{approvals_declared(['cap'])}days = 1\n[availability]"
    text = plain.source.replace('name = "care"', 'name = "other"').replace("[availability]", declared)
    other, _ = loop_add(text=text, source="other.toml")
    asked = change(person, 6.0, olga)
    assert isinstance(asked, Approval) and asked.loop == other.loop
    assert abs(asked.expires_at - asked.created_at - timedelta(days=1)) < timedelta(minutes=1)


def test_the_words_say_the_whole_number(loop: LoopVersion, person: int, olga: OperatorAccount) -> None:
    asked = change(person, 123456.75, olga, window="lifetime")
    assert isinstance(asked, Approval) and "to 123456.75." in asked.words


def test_it_is_asked_for_whichever_loop_of_the_people_declares_it(person: int, olga: OperatorAccount) -> None:
    plain = care_loop()
    text = plain.source.replace('name = "care"', 'name = "other"')
    loop_add(text=text.replace("[availability]", f"{approvals_declared(['cap'])}[availability]"), source="other.toml")
    assert isinstance(change(person, 6.0, olga), Approval)


def test_other_people_have_their_own_rules(loop: LoopVersion, olga: OperatorAccount) -> None:
    stranger = people_get_or_create(population="elsewhere", identifiers=["eve"])["eve"]
    assert isinstance(change(stranger, 6.0, olga), PrivacyBudget)


def test_without_the_declaration_one_officer_may(person: int, olga: OperatorAccount) -> None:
    guarded_loop(["override", "promotion", "epsilon"])
    assert isinstance(change(person, 6.0, olga), PrivacyBudget) and month(person) == 6.0


def test_no_service_raises_it_alone(loop: LoopVersion, person: int) -> None:
    with pytest.raises(SecondOperatorNeeded):
        cap_change(person_id=person, window="month", cap=6.0, reason=CapReason.STUDY, actor="script")
    assert month(person) == 4.0


def test_what_cannot_be_does_not_wait(loop: LoopVersion, olga: OperatorAccount) -> None:
    with pytest.raises(NotFound, match="there is no person"):
        change(10**6, 6.0, olga)
    assert not Approval.objects.exists()
