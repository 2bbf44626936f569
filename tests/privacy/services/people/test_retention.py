"""After 90 days records go; logs, budgets and open decisions stay."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from core.errors import Conflict
from loops.models import LoopVersion
from privacy.models import Choice, Decision, ExportKey, LedgerEntry, Release, ServedDecision, Signal
from privacy.services.people import retention
from privacy.services.people.retention import ExpiredCounts, records_expire
from privacy.services.records.signals import SignalInput, signals_add
from privacy.services.releases.lifecycle import round_load
from privacy.services.releases.sealed_exports import output_store
from tests.factories.decisions import serve_many
from tests.factories.loops import loop_version
from tests.factories.people import add_people
from tests.factories.releases import charge, new_release

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def version() -> LoopVersion:
    return loop_version()


def age(model: type[Signal] | type[Decision], days: int) -> None:
    model.objects.update(created_at=NOW - timedelta(days=days))


def test_what_is_ninety_days_old_goes_with_all_that_hangs_on_it(version: LoopVersion) -> None:
    people = add_people(version, 3, decided=False)
    serve_many(version, people)
    signals_add(loop_version=version, person_id=people[0], signals=[SignalInput("s", "pulse", NOW, {"mood": 0.1})])
    ServedDecision.objects.update(closed_at=NOW)
    for days, left in ((89, 3), (91, 0)):
        age(Decision, days)
        age(Signal, days)
        records_expire(now=NOW)
        assert Decision.objects.count() == ServedDecision.objects.count() == left
        assert (Choice.objects.count() > 0, Signal.objects.count() > 0) == (left > 0, left > 0)


def test_a_decision_that_waits_for_its_outcome_stays(version: LoopVersion) -> None:
    serve_many(version, add_people(version, 1, decided=False))
    age(Decision, 200)
    assert records_expire(now=NOW).decisions == 0 and Decision.objects.count() == 1


def test_age_counts_from_when_a_record_came(version: LoopVersion) -> None:
    add_people(version, 2)  # with decisions of long ago
    assert records_expire(now=NOW) == ExpiredCounts(0, 0, 0, 0)


def test_it_goes_on_where_it_was_stopped(version: LoopVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    add_people(version, 5)
    age(Decision, 91)
    monkeypatch.setattr(retention, "EXPIRE_CHUNK", 2)
    assert records_expire(now=NOW).decisions == 5 and records_expire(now=NOW).decisions == 0


def test_exports_are_emptied_and_the_log_stays(version: LoopVersion) -> None:
    people = add_people(version, 2)
    release = new_release(version)
    charge(release)
    output_store(release=release, index=0, output=b"x", expires_at=NOW)
    assert records_expire(now=NOW + timedelta(seconds=1)).exports == 1 and not ExportKey.objects.exists()
    with pytest.raises(Conflict, match="expired"):
        round_load(release=release, index=0)
    assert Release.objects.count() == 1 and LedgerEntry.objects.count() == len(people)
    assert records_expire(now=NOW + timedelta(seconds=1)).exports == 0
