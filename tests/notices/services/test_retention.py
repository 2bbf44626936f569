"""Notices are deleted after their time, with what became of each."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from core.durations import NOTICES_KEPT
from notices.models import Delivery, Notice
from notices.services import retention
from notices.services.retention import notices_expire
from tests.factories.rows import Rows

pytestmark = pytest.mark.django_db


def test_old_notices_go_with_their_deliveries_and_newer_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_EXPIRE_CHUNK", 2)
    rows = Rows()
    old = [rows.fresh(Delivery).notice.pk for _ in range(5)]
    kept = rows.fresh(Delivery).notice.pk
    Notice.objects.filter(pk__in=old).update(created_at=timezone.now() - NOTICES_KEPT - timedelta(seconds=1))
    Notice.objects.filter(pk=kept).update(created_at=timezone.now() - NOTICES_KEPT + timedelta(minutes=1))
    assert notices_expire() == 5
    assert list(Notice.objects.values_list("pk", flat=True)) == [kept]
    assert list(Delivery.objects.values_list("notice", flat=True)) == [kept]
    assert notices_expire() == 0
