"""A refused request: the answer stays inside the shell and names the roles that may do what was asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse

from loops.models import LoopVersion
from privacy.models import Person, Release
from r3al_project.permissions import VIEW_VERSIONS
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


# The pages of an account itself, of no use without one, and of what is behind a login that everybody passes.
OWN_PAGES = {
    "login",
    "logout",
    "password_change",
    "password_change_done",
    "jsi18n",
    "autocomplete",
    "view_on_site",
    "toggle_sidebar",
}


def pages() -> Iterator[str]:
    """Every address outside the API that needs no record, and those of an action on record 1."""
    for pattern, names in _walk(get_resolver().url_patterns, ""):
        if pattern.startswith("api/") or pattern in ("", "healthz", "readyz") or names & OWN_PAGES:
            continue
        yield "/" + re.sub(r"<[^>]*>", "1", pattern)


def _walk(patterns: Any, before: str) -> Iterator[tuple[str, set[str]]]:
    for item in patterns:
        address = before + str(item.pattern).lstrip("^").rstrip("$")
        if isinstance(item, URLResolver):
            yield from _walk(item.url_patterns, address)
        elif "(?P" not in address:
            yield address, {item.name or ""}


@pytest.mark.alone("embedded")
def test_staff_without_a_role_gets_no_data_from_any_page(house: LoopVersion) -> None:
    client, walked = staff(), list(pages())
    assert {"/admin/", "/admin/front-page/", "/r3al/training-dashboard/", "/admin/turns/turn/"} <= set(walked)
    answers = {url: client.get(url, {"s": "small"}) for url in walked}
    assert {url for url, answer in answers.items() if answer.status_code == 200} == {"/admin/search/"}
    for url, answer in answers.items():
        text = answer.content.decode()
        assert "model_" not in text and "small v1" not in text and "small/policy" not in text, url
    assert "href" not in answers["/admin/search/"].content.decode(), "a search finds only what one may see"


def test_the_front_page_tells_staff_without_a_role_which_roles_there_are_and_whom_to_ask(house: LoopVersion) -> None:
    for page in ("admin:index", "front-page-fragment"):
        answer = staff(name=page).get(reverse(page))
        assert answer.status_code == 403
        assert answer.context["reason"] == (
            "Your account has no role, so this is not allowed; the roles that allow it are Analyst, Operator, "
            "Privacy officer, Viewer. Ask an administrator to give you one."
        )
        shell = answer.content.decode()
        assert "Go to the front page" not in shell and reverse("training-dashboard") not in shell


@pytest.mark.parametrize("role", ["Analyst", "Operator", "Privacy officer", "Viewer"])
def test_every_role_of_people_opens_the_front_page(role: str) -> None:
    assert browser(role).get(reverse("admin:index")).status_code == 200


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
    client = staff("privacy.view_person", VIEW_VERSIONS)
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
