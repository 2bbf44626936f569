"""A refused request: the answer stays inside the shell and names the roles that may do what was asked."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from loops.models import LoopVersion
from privacy.models import Person, Release
from tests.factories.users import browser, staff, superuser

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _roles() -> None:
    call_command("roles", verbosity=0)


def refusal(client: Client, url: str, *, post: bool = False) -> str:
    """What the page of a refused request says. It is inside the shell: with the sidebar, and a way on."""
    answer = client.post(url, {}) if post else client.get(url)
    text = answer.content.decode()
    assert answer.status_code == 403 and 'id="nav-sidebar' in text and "Go to the front page" in text
    return str(answer.context["reason"])


def test_a_page_names_the_roles_that_may_open_it() -> None:
    assert "are Analyst, Privacy officer." in refusal(browser("Viewer"), reverse("privacy-page"))


def test_an_action_names_the_role_that_may_do_it() -> None:
    said = refusal(browser("Viewer"), reverse("training-dashboard-train"), post=True)
    assert "the role that allows it is Operator." in said


def test_a_list_of_records_names_the_roles_that_may_see_it() -> None:
    assert "are Analyst, Privacy officer." in refusal(browser("Viewer"), reverse("admin:privacy_release_changelist"))


def test_rows_of_people_need_two_permissions_and_only_roles_with_both_are_named(house: LoopVersion) -> None:
    said = refusal(browser("Analyst"), reverse("admin:privacy_consent_changelist"))
    assert "Privacy officer" in said and "Analyst" not in said and "Operator" not in said


def test_an_action_on_a_person_names_who_may_erase(house: LoopVersion) -> None:
    person = Person.objects.earliest("pk")
    client = staff("privacy.view_person")
    said = refusal(client, reverse("admin:privacy_person_erase", args=[person.pk]), post=True)
    assert "the role that allows it is Privacy officer." in said


def test_a_role_that_an_administrator_made_is_named_too() -> None:
    from django.contrib.auth.models import Permission

    auditors = Group.objects.create(name="Auditor")
    auditors.permissions.add(Permission.objects.get(codename="view_vaultevent"))
    assert "Auditor" in refusal(browser("Viewer"), reverse("admin:privacy_vaultevent_changelist"))


def test_what_nobody_does_by_hand_is_said_to_be_so(house: LoopVersion) -> None:
    release = Release.objects.earliest("pk")
    said = refusal(superuser(), reverse("admin:privacy_release_delete", args=[release.pk]), post=True)
    assert said == "Nobody does this by hand. Only the platform writes these records."


def test_an_outdated_form_is_refused_inside_the_shell() -> None:
    browser("Operator")
    strict = Client(enforce_csrf_checks=True)
    from django.contrib.auth.models import User

    strict.force_login(User.objects.get(username="Operator-1"))
    assert "Load the page again" in refusal(strict, reverse("training-dashboard-train"), post=True)


def test_who_may_not_see_the_shell_gets_a_plain_page() -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/admin/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403 and b"nav-sidebar" not in answer.content


def test_the_api_still_answers_with_a_problem_document() -> None:
    answer = browser("Viewer").get("/api/v1/me/export")
    assert answer["Content-Type"] == "application/problem+json"
