"""A refusal that follows from people's records is free and exact, so it is recorded, and few are given a day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.clock import clock_at
from core.errors import Conflict, InputError, InsufficientData
from loops.models import LoopVersion
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import PrivacyBudget, RefusalPermit, Release, VaultEvent
from privacy.services.anonymize.run import anonymize_begin, anonymize_enqueue, anonymize_finish
from privacy.services.budget.charge import cohort_refund
from tests.factories.anonymize import GROUPS, TOO_MANY, make_world, run, spent

pytestmark = pytest.mark.django_db
TOO_DIVERSE = replace(GROUPS, options={"k": 5, "sensitive": "place", "diversity": 4})


@pytest.fixture(scope="module")
def made(rows_of_module: None) -> LoopVersion:
    return make_world()


@pytest.fixture
def world(made: LoopVersion, monkeypatch: pytest.MonkeyPatch) -> LoopVersion:
    monkeypatch.setattr("privacy.services.anonymize.refusals.REFUSALS_A_DAY", 3)
    return made


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
        with pytest.raises(
            Conflict, match="3 anonymisations of loop 'rows' are under way or were refused within a day"
        ):
            run(world, asked, key="one more")
    assert refused() == 3 and not Release.objects.filter(state="committed").exists()


def test_by_the_queue_as_by_the_command(world: LoopVersion) -> None:
    with pytest.raises(InsufficientData):
        anonymize_enqueue(key="one", loop_version=world, request=TOO_MANY)
    assert refused() == 1


def test_a_request_that_is_wrong_in_itself_is_no_refusal(world: LoopVersion) -> None:
    with pytest.raises(InputError, match="k is 1"):
        run(world, replace(GROUPS, options={"k": 1}))
    assert refused() == 0 and not RefusalPermit.objects.exists()


def test_a_release_holds_its_permit_until_it_is_committed(world: LoopVersion) -> None:
    begun = [anonymize_begin(key=f"queued-{n}", loop_version=world, request=GROUPS) for n in range(3)]
    RefusalPermit.objects.update(at=datetime.now(UTC) - timedelta(days=3))  # a queue that was long
    with pytest.raises(Conflict, match="are under way"):
        run(world, GROUPS, key="one more")
    anonymize_finish(release=begun[0])
    assert run(world, GROUPS, key="one more").state == "committed"


def test_permits_of_a_clock_that_was_set_back_last_a_day_from_now(world: LoopVersion) -> None:
    for n in range(3):
        with pytest.raises(InsufficientData):
            run(world, TOO_MANY, key=f"try-{n}")
    RefusalPermit.objects.update(at=datetime.now(UTC) + timedelta(days=900))
    with pytest.raises(Conflict, match="refused within a day"):
        run(world, GROUPS, key="one more")
    assert all(permit.at <= datetime.now(UTC) for permit in RefusalPermit.objects.all())


def test_a_release_that_was_cancelled_holds_none(world: LoopVersion) -> None:
    for n in range(4):
        cohort_refund(release=anonymize_begin(key=f"cancelled-{n}", loop_version=world, request=GROUPS))
    assert refused() == 0


def test_a_failure_that_follows_from_nobodys_records_gives_it_back(
    world: LoopVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the disk is away")

    for n, part in enumerate(("release_begin", "anonymize_compute") * 2):
        with monkeypatch.context() as away:
            away.setattr(f"privacy.services.anonymize.run.{part}", broken)
            with pytest.raises(OSError, match="disk"):
                run(world, GROUPS, key=f"{part}-{n}")
        assert refused() == 0 and spent() == (0, 0)
    assert run(world, GROUPS).state == "committed"


def test_a_process_that_died_uses_its_permit_up_for_a_day(world: LoopVersion) -> None:
    loop, now = world.loop, datetime.now(UTC)
    RefusalPermit.objects.bulk_create(RefusalPermit(loop=loop, release_key=f"died-{n}", at=now) for n in range(3))
    with pytest.raises(Conflict, match="are under way"):
        run(world, GROUPS)
    RefusalPermit.objects.update(at=now - timedelta(days=1, seconds=1))
    assert run(world, GROUPS).state == "committed" and RefusalPermit.objects.count() == 1


def test_a_day_later_it_may_be_asked_again(world: LoopVersion) -> None:
    with clock_at(datetime.now(UTC) - timedelta(days=1, seconds=30)):
        for n in range(3):
            with pytest.raises(InsufficientData):
                run(world, TOO_MANY, key=f"try-{n}")
        with pytest.raises(Conflict, match="refused within a day"):
            run(world, GROUPS, key="too early")
    assert run(world, GROUPS, key="a day later").state == "committed"


def test_a_retry_of_what_was_charged_is_never_refused_for_that(world: LoopVersion) -> None:
    first = run(world, GROUPS, key="first")
    PrivacyBudget.objects.update(spent_lifetime=0, spent_day=0, spent_week=0, spent_month=0)
    for n in range(3):
        with pytest.raises(InsufficientData):
            run(world, TOO_MANY, key=f"try-{n}")
    assert run(world, GROUPS, key="first") == first
