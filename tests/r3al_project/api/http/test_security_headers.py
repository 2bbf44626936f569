"""Browsers are told what a page may load: nothing from elsewhere, and from the API nothing at all."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.factories.users import superuser

pytestmark = pytest.mark.django_db


def directives(response: Any) -> dict[str, str]:
    parts = (part.split(" ", 1) for part in response["Content-Security-Policy"].split("; "))
    return {name: " ".join(value) for name, *value in parts}


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/admin/", "/admin/login/", "/nowhere/", "/api/v1/nowhere", "/api/docs/"]
)
def test_every_door_names_what_may_be_loaded_and_used(path: str) -> None:
    response = superuser().get(path)
    found = directives(response)
    assert found["default-src"] in ("'self'", "'none'") and found["frame-ancestors"] == found["object-src"] == "'none'"
    assert not any("http" in sources or "*" in sources for sources in found.values())
    assert "camera=()" in response["Permissions-Policy"]


def test_the_api_lets_a_browser_load_nothing() -> None:
    assert directives(Client().get("/api/v1/training/models"))["default-src"] == "'none'"


def test_scripts_in_a_page_are_for_the_admin_alone() -> None:
    """The documents of the API have their script in a file of its own, and the theme of the admin has scripts in its pages."""
    docs = Client().get("/api/docs/")
    assert "script-src" not in directives(docs), "default-src counts: this server's files"
    assert "<script>" not in docs.content.decode() and "script-src" in directives(Client().get("/admin/login/"))
