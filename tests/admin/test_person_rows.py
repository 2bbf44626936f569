"""Rows of people are shown one person at a time: no list tells how many there are, or who is in what."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from loops.models import LoopVersion
from privacy.admin.person_rows import PersonRowsAdmin
from privacy.models import DataKey, LedgerEntry, Person, PersonAccount, PrivacyBudget
from r3al_project.ops.roles import roles_sync
from tests.factories.users import browser, staff

OF_PEOPLE = sorted(
    (m for m, a in admin.site._registry.items() if isinstance(a, PersonRowsAdmin)), key=lambda m: m._meta.label
)


def list_url(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def refers_to_people(model: type[Model]) -> bool:
    """Whether a row belongs to one person, at once or by way of what does."""
    ways = {f.related_model for f in model._meta.fields if f.is_relation}
    own = {Person, DataKey, *OF_PEOPLE}
    return model is Person or bool(ways & own)


def test_every_list_of_rows_of_people_is_one_of_these() -> None:
    assert {m._meta.label for m in admin.site._registry if refers_to_people(m)} == {m._meta.label for m in OF_PEOPLE}
    assert LedgerEntry not in admin.site._registry, "who is in a release has no list"


@pytest.mark.parametrize("model", OF_PEOPLE, ids=lambda m: m._meta.label)
def test_without_a_number_it_is_empty_whatever_is_filtered(
    model: type[Model], operator: Client, house: LoopVersion
) -> None:
    assert model._default_manager.exists()
    for query in ("", "?o=1", "?p=1", "?all=", "?q=", "?q=small", "?pk__gte=0", "?_facets=True"):
        answer = operator.get(list_url(model) + query, follow=True)
        page = answer.context.get("cl")
        assert page is None or (page.result_count, list(page.result_list)) == (0, []), query


@pytest.mark.parametrize("model", OF_PEOPLE, ids=lambda m: m._meta.label)
def test_with_a_number_it_shows_the_rows_of_that_person(
    model: type[Model], operator: Client, house: LoopVersion
) -> None:
    lookup = admin.site._registry[model].person  # type: ignore[attr-defined]
    people = [pk for pk in Person.objects.values_list("pk", flat=True) if model._default_manager.filter(**{lookup: pk})]
    page = operator.get(f"{list_url(model)}?q={people[0]}").context["cl"]
    assert {getattr_path(row, lookup) for row in page.result_list} == {people[0]}


def getattr_path(row: object, lookup: str) -> object:
    for name in lookup.split("__"):
        row = getattr(row, name)
    return row


def test_whoever_may_see_budgets_but_not_people_sees_no_row_of_a_person(house: LoopVersion) -> None:
    roles_sync()
    analyst, budget = browser("Analyst"), PrivacyBudget.objects.latest("pk")
    for url in (list_url(PrivacyBudget), reverse("admin:privacy_privacybudget_change", args=[budget.pk])):
        assert analyst.get(url).status_code == 403
    front = analyst.get(reverse("admin:index")).content.decode()
    assert list_url(PrivacyBudget) not in front and reverse("privacy-page") in front


def test_the_accounts_of_people_are_in_no_list_of_users(operator: Client, house: LoopVersion) -> None:
    device = PersonAccount.objects.latest("pk").user
    assert isinstance(device, User)
    page = operator.get(reverse("admin:auth_user_changelist")).context["cl"]
    assert (
        device not in list(page.result_list)
        and page.result_count == User.objects.exclude(person_account__isnull=False).count()
    )


def test_an_identifier_of_several_populations_still_lists_its_few_people(operator: Client, house: LoopVersion) -> None:
    few = ",".join(map(str, Person.objects.values_list("pk", flat=True)[:2]))
    assert operator.get(f"{list_url(Person)}?id__in={few}").context["cl"].result_count == 2
    many = ",".join(map(str, range(1, 200)))
    assert operator.get(f"{list_url(Person)}?id__in={many}").context["cl"].result_count == 0


def test_staff_needs_both_permissions(house: LoopVersion) -> None:
    assert staff("privacy.view_decision").get(reverse("admin:privacy_decision_changelist")).status_code == 403
