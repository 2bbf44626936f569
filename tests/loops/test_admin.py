from __future__ import annotations

import pytest
from django.test import Client

from loops.models import LoopVersion
from loops.services import loop_add
from tests.factories.loop_files import SMALL
from tests.factories.users import staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> LoopVersion:
    return loop_add(text=SMALL, source="small.toml")[0]


def test_lists_and_texts_are_shown(admin_client: Client, version: LoopVersion) -> None:
    for page, shown in (
        ("loop/", "small"),
        (f"loop/{version.loop_id}/change/", "small"),
        ("loopversion/", "policy"),
        (f"loopversion/{version.pk}/change/", "decisions_per_day = 3"),
    ):
        answer = admin_client.get(f"/admin/loops/{page}")
        assert answer.status_code == 200 and shown in answer.content.decode(), page


@pytest.mark.parametrize("page", ["loop/add/", "loopversion/add/"])
def test_nothing_is_added_by_hand(admin_client: Client, page: str) -> None:
    assert admin_client.get(f"/admin/loops/{page}").status_code == 403


def test_nothing_is_deleted_by_hand(admin_client: Client, version: LoopVersion) -> None:
    assert admin_client.post(f"/admin/loops/loopversion/{version.pk}/delete/", {"post": "yes"}).status_code == 403
    assert LoopVersion.objects.count() == 1


def test_who_has_no_rights_sees_nothing(version: LoopVersion) -> None:
    assert staff().get("/admin/loops/loop/").status_code == 403
