"""Operators are told when the newest master key is old, again after a month, and no longer after a rotation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from notices.models import Notice
from privacy.models import DataKey, MasterKeyVersion
from privacy.services.people.data_keys import keys_rotate
from privacy.services.people.key_age import REMINDED_AFTER, key_age_check
from tests.factories.rows import Rows

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def after(days: float) -> bool:
    return key_age_check(now=NOW + timedelta(days=days))


def test_a_key_is_told_once_it_is_as_old_as_declared_and_again_each_month(settings: Any) -> None:
    settings.R3AL_KEY_DAYS = 100
    assert [after(days) for days in (0, 99.9, 100, 101, 129, 130, 131)] == [
        False, False, True, False, False, True, False,
    ]  # fmt: skip
    assert REMINDED_AFTER == 30 and Notice.objects.count() == 2
    first = Notice.objects.earliest("pk")
    assert first.sentence == (
        "Version 1 of DATA_MASTER_KEYS has been in use for 100 days, longer than the declared 100. "
        "Add a new one and rotate the keys."
    )


def test_the_first_key_is_as_old_as_the_oldest_data_key() -> None:
    row = Rows().fresh(DataKey)
    DataKey.objects.filter(pk=row.pk).update(created_at=NOW - timedelta(days=400))
    assert after(0) and Notice.objects.get().facts["days"] == 400


def test_a_new_version_begins_anew(settings: Any) -> None:
    row = Rows().fresh(DataKey)
    DataKey.objects.filter(pk=row.pk).update(created_at=NOW - timedelta(days=400), master_version=2)
    settings.DATA_MASTER_KEYS = {**settings.DATA_MASTER_KEYS, 2: "another-master-key-of-the-tests-alone"}
    keys_rotate()
    assert not after(0) and not after(364) and after(365)
    assert list(MasterKeyVersion.objects.values_list("version", flat=True)) == [2]
