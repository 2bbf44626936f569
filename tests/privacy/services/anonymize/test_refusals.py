"""A refusal that follows from people's records is free and exact, so it is recorded, and few are given a day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.errors import Conflict, InputError, InsufficientData
from loops.models import LoopVersion
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import PrivacyBudget, Release, VaultEvent
from privacy.services.anonymize.run import anonymize_enqueue
from tests.factories.anonymize import GROUPS, make_world, run, spent

pytestmark = pytest.mark.django_db
TOO_DIVERSE = replace(GROUPS, options={"k": 5, "sensitive": "place", "diversity": 4})
TOO_MANY = replace(GROUPS, options={"k": 81})


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> LoopVersion:
    monkeypatch.setattr("privacy.services.anonymize.refusals.REFUSALS_A_DAY", 3)
    return make_world()


def refused() -> int:
    return VaultEvent.objects.filter(kind="release", body__refused="rows").count()


@pytest.mark.parametrize(("wanted", "error"), [(TOO_DIVERSE, InputError), (TOO_MANY, InsufficientData)])
def test_each_is_recorded_and_after_some_nothing_more_is_told(
    world: LoopVersion, wanted: AnonymizeRequest, error: type[Exception]
) -> None:
    for n in range(3):
        with pytest.raises(error):
            run(world, wanted, key=f"try-{n}")
        assert refused() == n + 1 and spent() == (0, 0)
    for asked in (wanted, GROUPS):
        with pytest.raises(Conflict, match="3 anonymisations of loop 'rows' were refused within a day"):
            run(world, asked, key="one more")
    assert refused() == 3 and not Release.objects.filter(state="committed").exists()


def test_by_the_queue_as_by_the_command(world: LoopVersion) -> None:
    with pytest.raises(InsufficientData):
        anonymize_enqueue(key="one", loop_version=world, request=TOO_MANY)
    assert refused() == 1


def test_a_request_that_is_wrong_in_itself_is_no_refusal(world: LoopVersion) -> None:
    with pytest.raises(InputError, match="k is 1"):
        run(world, replace(GROUPS, options={"k": 1}))
    assert refused() == 0


def test_a_day_later_it_may_be_asked_again(world: LoopVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        with pytest.raises(InsufficientData):
            run(world, TOO_MANY, key=f"try-{n}")
    monkeypatch.setattr("privacy.services.anonymize.refusals.datetime", Tomorrow)
    assert run(world, GROUPS, key="tomorrow").state == "committed"


class Tomorrow(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(UTC) + timedelta(days=1, seconds=1)


def test_a_retry_of_what_was_charged_is_never_refused_for_that(world: LoopVersion) -> None:
    first = run(world, GROUPS, key="first")
    PrivacyBudget.objects.update(spent_lifetime=0, spent_day=0, spent_week=0, spent_month=0)
    for n in range(3):
        with pytest.raises(InsufficientData):
            run(world, TOO_MANY, key=f"try-{n}")
    assert run(world, GROUPS, key="first") == first
