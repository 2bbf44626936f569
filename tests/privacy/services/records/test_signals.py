"""Signals are kept once, whole batches at a time, and serving remembers the newest."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.errors import Forbidden, InputError
from loops.models import LoopVersion
from privacy.engine.sealing import about_serving_state
from privacy.engine.serving_state import pack_serving_state
from privacy.models import Person, PrivacyBudget, ServingState, Signal
from privacy.services.people.data_keys import ciphers
from privacy.services.records.signals import NoValidSignal, SignalInput, SignalsReceipt, signals_add
from tests.factories.loops import loop_version
from tests.factories.people import add_people
from tests.factories.sealed import memory_of

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def version() -> LoopVersion:
    return loop_version()


@pytest.fixture
def person(version: LoopVersion) -> int:
    return add_people(version, 1, decided=False)[0]


def pulse(key: str, *, hours_ago: float = 1.0, **values: float | str) -> SignalInput:
    return SignalInput(key, "pulse", NOW - timedelta(hours=hours_ago), values or {"mood": 0.5})  # type: ignore[arg-type]


def hear(version: LoopVersion, person: int, *heard: SignalInput) -> SignalsReceipt:
    return signals_add(loop_version=version, person_id=person, signals=heard)


def memory(version: LoopVersion) -> dict[str, float]:
    values = memory_of(ServingState.objects.get())
    return {n: float(v) for n, v in zip(version.spec.feature_names, values, strict=True) if not np.isnan(v)}


def test_the_same_moment_in_another_time_zone_is_the_same_signal(version: LoopVersion, person: int) -> None:
    one = pulse("s1")
    there = one.at.astimezone(timezone.get_fixed_timezone(330))
    assert hear(version, person, one).added == 1
    assert hear(version, person, replace(one, at=there)).unchanged == 1


def test_a_second_of_one_id_in_a_batch_is_unchanged_or_named(version: LoopVersion, person: int) -> None:
    intake = hear(version, person, pulse("s1"), pulse("s1"), pulse("s1", mood=0.1))
    assert (intake.added, intake.unchanged, [r["index"] for r in intake.rejected]) == (1, 1, [2])


def test_another_person_may_use_the_same_id(version: LoopVersion, person: int) -> None:
    (other,) = add_people(version, 1, first=7, decided=False)
    assert hear(version, person, pulse("s1")).added == hear(version, other, pulse("s1", mood=0.1)).added == 1


def test_a_full_batch_takes_as_many_statements_as_a_small_one(version: LoopVersion, person: int) -> None:
    counts = []
    for n in (2, 498):
        with CaptureQueriesContext(connection) as queries:
            assert hear(version, person, *[pulse(f"{n}-{i}") for i in range(n)]).added == n
        counts.append(len(queries))
    assert counts[1] <= counts[0] + 6, "SQLite takes 999 values a statement, so it needs some more inserts"


def test_what_a_loop_of_other_features_remembered_is_forgotten(version: LoopVersion, person: int) -> None:
    features = version.spec.features
    for other in (features[:2], (features[1], features[0], *features[2:])):
        stale = pack_serving_state(replace(version.spec, features=other), [0.25] * len(other), None)
        sealed = ciphers([person])[person].seal(stale, about_serving_state(person, version.loop_id))
        ServingState.objects.all().delete()
        ServingState.objects.create(person_id=person, loop=version.loop, memory=sealed, observed_at=NOW, version=4)
        Signal.objects.all().delete()
        hear(version, person, pulse("s1"))
        assert memory(version) == {"mood": 0.5} and ServingState.objects.get().version == 5


def test_what_is_too_old_to_serve_is_not_revived_by_a_newer_word(version: LoopVersion, person: int) -> None:
    keeps = version.spec.availability.memory_seconds / 3600
    hear(version, person, pulse("s1", hours_ago=keeps + 3, stress=0.9))
    hear(version, person, pulse("s2", hours_ago=1))
    assert memory(version) == {"mood": 0.5}


@pytest.mark.parametrize("at", [datetime.min, datetime.max])
def test_moments_that_cannot_be_are_named(version: LoopVersion, person: int, at: datetime) -> None:
    for offset in (-14 * 60, 14 * 60):
        bad = replace(pulse("s1"), at=at.replace(tzinfo=timezone.get_fixed_timezone(offset)))
        with pytest.raises(NoValidSignal) as refused:
            hear(version, person, bad)
        assert len(refused.value.members["rejected"]) == 1
    assert not Signal.objects.exists() and not ServingState.objects.exists()


def test_without_consent_to_personalization_nothing_is_kept(version: LoopVersion, person: int) -> None:
    PrivacyBudget.objects.update(consent_mask=6)
    with pytest.raises(Forbidden, match="personalization"):
        hear(version, person, pulse("s1"))


@pytest.mark.parametrize("count", [0, 501])
def test_a_batch_has_a_size(version: LoopVersion, person: int, count: int) -> None:
    with pytest.raises(InputError, match="1 to 500"):
        hear(version, person, *[pulse(str(i)) for i in range(count)])
    assert not Signal.objects.exists()


def test_what_was_erased_is_not_stored_again_by_a_device_that_repeats_itself(version: LoopVersion, person: int) -> None:
    Person.objects.filter(pk=person).update(last_erased_at=NOW - timedelta(hours=2))
    receipt = hear(version, person, pulse("old", hours_ago=3), pulse("new", hours_ago=1))
    assert receipt.added == 1 and [r["code"] for r in receipt.rejected] == ["before-erasure"]
    with pytest.raises(NoValidSignal, match="before the person's erasure"):
        hear(version, person, pulse("old", hours_ago=3))
