"""Pages by key: what is added while somebody turns pages is neither shown twice nor hides anything."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from knox.models import AuthToken
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from r3al_project.api.http.pagination import page_of_rows
from tests.factories.care import care_loop, person
from tests.factories.versions import ALWAYS_WALK, learned
from tests.r3al_project.api.documented import call, document

WITHOUT_PAGES = {"JobAnswer.stages", "VersionAnswer.metrics", "EvaluationAnswer.metrics", "HealthAnswer.metrics",
                 "HealthAnswer.triggers", "HealthAnswer.recommendations", "RolloutAnswer.stages",
                 "SyntheticAnswer.parts", "SyntheticAnswer.failures", "SyntheticAnswer.alarms",
                 "SyntheticAnswer.notes"}  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_versions_that_are_registered_meanwhile_move_nothing() -> None:
    loop = care_loop()
    for _ in range(5):
        learned(loop, "policy", ALWAYS_WALK)
    token = str(AuthToken.objects.create(User.objects.create_superuser("root"))[1])
    all_of_them = [v["versionId"] for v in call("GET", "training/models", token).told["results"]]
    address, seen = "training/models?modelType=policy&pageSize=2", []
    while address:
        told = call("GET", address, token).told
        seen += [v["versionId"] for v in told["results"]]
        learned(loop, "policy", ALWAYS_WALK)
        address = (told["next"] or "").partition("/api/v1/")[2]
        assert not address or {"modelType=policy", "pageSize=2"} <= set(address.partition("?")[2].split("&"))
    assert seen == [name for name in all_of_them if name in seen] and len(seen) == len(set(seen)) >= 5


@pytest.mark.django_db(transaction=True)
def test_events_of_a_person_that_are_recorded_meanwhile_move_nothing() -> None:
    care_loop()
    token = person("ann")[1]

    def change(times: int) -> None:
        for number in range(times):
            call("PUT", "me/consents", token, {"training": number % 2 == 1})

    change(4)
    all_of_them = [e["sequence"] for e in call("GET", "me/vault", token).told["results"]]
    assert len(all_of_them) >= 5 and all_of_them == sorted(all_of_them, reverse=True)
    address, seen = "me/vault?pageSize=2", []
    while address:
        told = call("GET", address, token).told
        assert len(told["results"]) <= 2
        seen += [e["sequence"] for e in told["results"]]
        change(2)
        address = (told["next"] or "").partition("/api/v1/")[2]
    assert seen == all_of_them
    person("bob")
    assert call("GET", "me/vault?pageSize=201", token).status_code == 422


def test_every_list_that_grows_comes_in_pages() -> None:
    """An answer with a list either is a page, or its list is as long as the loop, the version or the person makes it."""
    unpaged: set[str] = set()
    for operations in document()["paths"].values():
        content = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        name = str(content.get("application/json", {}).get("schema", {}).get("$ref")).rpartition("/")[2]
        fields = document()["components"]["schemas"].get(name, {}).get("properties", {})
        if "next" not in fields:
            unpaged |= {f"{name}.{n}" for n, field in fields.items() if field.get("type") == "array"}
    whole = {name for name in unpaged if name.startswith("MyExportAnswer.")}
    assert whole and unpaged - whole == WITHOUT_PAGES


def cut(rows: list[int], **query: Any) -> tuple[list[int], bool]:
    request = Request(APIRequestFactory().get("/api/v1/training/calibration"))
    page = page_of_rows(request, query, rows, lambda row: row)
    return list(page.entries), page.next is not None


def test_rows_of_one_key_stay_on_one_page() -> None:
    rows = [9, 9, 7, 7, 7, 4, 2]
    assert cut(rows, pageSize=3) == ([9, 9, 7, 7, 7], True)
    assert cut(rows, pageSize=3, before=7) == ([4, 2], False)
    assert cut(rows, pageSize=1, before=7) == ([4], True)
    assert cut(rows, before=2) == ([], False) and cut([]) == ([], False)
