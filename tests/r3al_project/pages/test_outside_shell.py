"""Pages that people meet before they are let in, or instead of what they asked for: named regions, one heading, any width."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.urls import reverse

from r3al_project.api.http.errors import bad_request, server_error
from tests.factories.users import browser, superuser

pytestmark = pytest.mark.django_db
VOID = {"meta", "link", "input", "br", "hr", "img"}
UNSEEN = {"head", "script", "style", "template", "title"}


class Page(HTMLParser):
    """What a page consists of for somebody who hears it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.landmarks: list[str] = []
        self.headings: list[str] = []
        self.outside: list[str] = []
        self.ids: list[str] = []
        self.language, self.is_scalable, self.title = "", False, ""
        self.feed(text)

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        attributes = dict(given)
        if tag == "html":
            self.language = attributes.get("lang") or ""
        if tag == "meta" and attributes.get("name") == "viewport":
            self.is_scalable = "width=device-width" in (attributes.get("content") or "")
        if tag in ("main", "header", "nav"):
            self.landmarks.append(tag)
        if name := attributes.get("id"):
            self.ids.append(name)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            while self.open and self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "title" in self.open:
            self.title += data.strip()
        elif data.strip() and not UNSEEN & set(self.open):
            if "h1" in self.open:
                self.headings.append(data.strip())
            if not {"main", "header", "nav"} & set(self.open):
                self.outside.append(data.strip())


def login_page() -> Any:
    return Client().get("/admin/login/")


def login_with_a_wrong_password() -> Any:
    return Client().post("/admin/login/", {"username": "ada", "password": "wrong"})


def logged_out() -> Any:
    return superuser().post("/admin/logout/")


def too_many_failures() -> Any:
    for _ in range(settings.AXES_FAILURE_LIMIT):
        login_with_a_wrong_password()
    return login_with_a_wrong_password()


def nothing_there() -> Any:
    return Client().get("/nowhere")


def outdated_login() -> Any:
    return Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a", "password": "b"})


def unreadable() -> Any:
    return bad_request(RequestFactory().get("/"), SuspiciousOperation())


def failed() -> Any:
    return server_error(RequestFactory().get("/"))


PAGES = [
    login_page,
    login_with_a_wrong_password,
    logged_out,
    too_many_failures,
    nothing_there,
    outdated_login,
    unreadable,
    failed,
]


@pytest.mark.parametrize("answer", PAGES)
def test_a_page_outside_the_shell_has_one_main_region_and_one_heading(answer: Any) -> None:
    page = Page(answer().content.decode())
    assert page.landmarks.count("main") == 1 and "".join(page.headings) and page.ids.count("page") <= 1
    assert not page.outside, "each word lies in a region that can be jumped to"
    assert page.language.startswith("en") and page.is_scalable and page.title


def test_the_page_of_an_outage_is_such_a_page_and_needs_no_database() -> None:
    page = Page(render_to_string("503.html"))
    assert page.landmarks == ["main"] and page.is_scalable and page.headings == ["The database does not answer"]


@pytest.mark.parametrize("answer", [login_page, logged_out])
def test_no_link_leads_back_to_the_login_in_a_circle(answer: Any) -> None:
    assert b"Return to site" not in answer().content


def test_a_refused_page_has_one_heading(_roles: None) -> None:
    page = Page(browser("Viewer").get(reverse("privacy-page")).content.decode())
    assert page.headings == ["This is not allowed"] and page.title.startswith("This is not allowed")


def test_a_refusal_is_one_line_of_the_log(_roles: None, caplog: pytest.LogCaptureFixture) -> None:
    browser("Viewer").get(reverse("privacy-page"))
    assert [record.getMessage() for record in caplog.records] == ["Forbidden: /admin/privacy-page/"]
    assert caplog.records[0].exc_info is None


@pytest.fixture
def _roles() -> None:
    from django.core.management import call_command

    call_command("roles", verbosity=0)
