"""Operators are told when the daily verification finds the Trust Vault broken, without the names of rows."""

from __future__ import annotations

import pytest
from django.test import Client

from loops.models import LoopVersion
from notices.models import Notice
from privacy.services.vault.adopt import vault_prepare
from privacy.services.vault.verify import vault_check
from tests.factories.care import care_loop
from tests.tampering import tamper

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop() -> LoopVersion:
    vault_prepare()
    return care_loop()


def test_a_vault_that_holds_is_no_news(loop: LoopVersion) -> None:
    assert vault_check().broken == "" and not Notice.objects.exists()


def test_a_broken_vault_is_urgent_and_told_by_each_check(operator: Client, loop: LoopVersion) -> None:
    tamper("UPDATE loops SET name = 'another'")
    assert vault_check().broken
    notice = Notice.objects.get()
    assert (notice.kind, notice.level) == ("vault_broken", "urgent")
    assert notice.sentence.startswith("The Trust Vault does not hold") and "another" not in notice.sentence
    assert operator.get(notice.link).status_code == 200
    vault_check()
    assert Notice.objects.count() == 2
