"""Pages by key: what is added while somebody turns pages is neither shown twice nor hides anything."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from knox.models import AuthToken
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from r3al_project.api.http.pagination import page_of_rows
from tests.factories.care import care_loop
from tests.factories.versions import ALWAYS_WALK, learned
from tests.r3al_project.api.documented import call


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
