"""Retries that come at the same time: one of them computes, and all of them answer with its release."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import R3alError
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import LedgerEntry, Release, ReleaseRound
from tests.factories.anonymize import LOCAL, NAMES, PEOPLE, make_world, run
from tests.races import in_threads


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("wanted", [LOCAL, NAMES])
def test_two_retries_of_one_key_at_once_are_one_release(wanted: AnonymizeRequest, settings: Any) -> None:
    settings.MIN_COHORT = 10
    version = make_world()

    def work(_: int) -> int | str:
        try:
            return run(version, wanted).pk
        except R3alError as error:
            return str(error)

    answers = set(in_threads(work, range(4), threads=4))
    assert answers == {Release.objects.get().pk} and ReleaseRound.objects.count() == 1
    assert LedgerEntry.objects.count() == PEOPLE and Release.objects.get().state == "committed"
