"""Nobody stays charged for what was never released: a failure gives back at once, a sweep what was forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from core.errors import Conflict, InsufficientData
from loops.models import LoopVersion
from privacy.engine.anonymize import registry
from privacy.engine.anonymize.protocol import ChargedRequest, Output, RecordSource
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import (
    Decision,
    LedgerEntry,
    Person,
    PrivacyBudget,
    Purpose,
    Release,
    ReleaseRound,
    RewardSignal,
    Signal,
    VaultEvent,
)
from privacy.services.anonymize.compute import anonymize_compute
from privacy.services.anonymize.feature_records import feature_records
from privacy.services.anonymize.run import anonymize_begin, anonymize_finish
from privacy.services.people.consent import consent_withdraw
from privacy.services.people.erasure import person_erase, restore_erased_person
from privacy.services.records.signals import SignalInput, signals_add
from privacy.services.releases.lifecycle import release_commit, round_store
from privacy.services.releases.reservations import RESERVATION_AGE, reservation_end, reservations_settle
from tests.factories.anonymize import ALL, CENTRAL, COARSE, GROUPS, LOCAL, NAMES, PEOPLE, make_world, run, spent
from tests.factories.releases import noised, reserve

pytestmark = pytest.mark.django_db
LATER = timedelta(hours=1) + RESERVATION_AGE


@pytest.fixture(scope="module")
def made(rows_of_module: None) -> LoopVersion:
    return make_world()


@pytest.fixture
def world(made: LoopVersion, settings: Any) -> LoopVersion:
    settings.MIN_COHORT = 10
    return made


def events(release: Release) -> list[str]:
    """The states that the vault recorded after the charge."""
    found = VaultEvent.objects.filter(kind="release", body__release=release.pk, body__has_key="state").order_by("pk")
    charged, *later = [e.body["state"] for e in found]
    assert charged == "reserved"
    return later


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[Release], Any]) -> None:
    """Something happens after the computing and before the storing."""
    compute = anonymize_compute

    def slow(release: Release) -> Any:
        made = compute(release)
        act(release)
        return made

    monkeypatch.setattr("privacy.services.anonymize.run.anonymize_compute", slow)


class TestFailures:
    @pytest.mark.parametrize("fault", [MemoryError, RuntimeError, KeyboardInterrupt, SystemExit])
    @pytest.mark.parametrize("wanted", [CENTRAL, NAMES])
    def test_whatever_breaks_before_storing_gives_the_charge_back(
        self, world: LoopVersion, wanted: AnonymizeRequest, fault: type[BaseException], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def breaks(_: Release) -> None:
            raise fault

        meanwhile(monkeypatch, breaks)
        with pytest.raises(fault):
            run(world, wanted)
        assert spent() == (0, 0) and events(Release.objects.get()) == ["refunded"]
        assert not PrivacyBudget.objects.filter(formal_void_at__isnull=False).exists()

    @pytest.mark.parametrize("wanted", ALL)
    def test_a_technique_that_cannot_compute_gives_the_charge_back(
        self, world: LoopVersion, wanted: AnonymizeRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def breaks(charged: ChargedRequest, source: RecordSource) -> Output:
            raise KeyError("a table that lacks this technique")

        broken = tuple(replace(technique, compute=breaks) for technique in registry.TECHNIQUES)
        monkeypatch.setattr(registry, "TECHNIQUES", broken)
        with pytest.raises(KeyError):
            run(world, wanted)
        assert spent() == (0, 0) and events(Release.objects.get()) == ["refunded"]
        assert LedgerEntry.objects.count() == PEOPLE and not ReleaseRound.objects.exists()

    def test_a_lost_master_key_charges_nobody(self, world: LoopVersion, settings: Any) -> None:
        pk = PrivacyBudget.objects.values_list("pk", flat=True)[0]
        signals_add(
            loop_version=world,
            person_id=pk,
            signals=[SignalInput("a", "pulse", timezone.now(), {"mood": 0.5, "place": "home"})],
        )
        settings.DATA_MASTER_KEYS = {2: "another" * 8}
        with pytest.raises(Conflict, match="DATA_MASTER_KEYS lacks version 1"):
            run(world, NAMES)
        assert Signal.objects.count() == 1 and spent() == (0, 0)

    def test_a_refunded_one_cannot_be_finished(self, world: LoopVersion) -> None:
        release = anonymize_begin(key="one", loop_version=world, request=NAMES)
        assert reservations_settle(now=timezone.now() + LATER).refunded == 1
        release.refresh_from_db()
        with pytest.raises(Conflict, match="new key"):
            anonymize_finish(release=release)

    def test_what_somebody_else_stored_meanwhile_stays(
        self, world: LoopVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compute = anonymize_compute

        def overtaken(release: Release) -> None:
            monkeypatch.setattr("privacy.services.anonymize.run.anonymize_compute", compute)
            anonymize_finish(release=Release.objects.get(pk=release.pk))
            raise MemoryError

        meanwhile(monkeypatch, overtaken)
        with pytest.raises(MemoryError):
            run(world, LOCAL)
        assert Release.objects.get().state == "committed" and spent()[0] > 0


class TestErasureMeanwhile:
    @pytest.mark.parametrize("wanted", [LOCAL, GROUPS, NAMES, COARSE])
    @pytest.mark.parametrize("comes_back", [False, True])
    def test_no_row_of_somebody_erased_is_stored(
        self, world: LoopVersion, wanted: AnonymizeRequest, comes_back: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person = Person.objects.filter(ledger_entries=None).order_by("pk")[0]

        def erase(release: Release) -> None:
            person_erase(person_id=person.pk, source="test")
            if comes_back:
                restore_erased_person(person.population, [person.key])

        meanwhile(monkeypatch, erase)
        with pytest.raises(Conflict, match="was erased while"):
            run(world, wanted)
        assert LedgerEntry.objects.count() == PEOPLE, "the entries stay, and are void"
        assert not ReleaseRound.objects.exists() and spent() == (0, 0)

    def test_statistics_hold_no_rows_and_go_on(self, world: LoopVersion, monkeypatch: pytest.MonkeyPatch) -> None:
        first = PrivacyBudget.objects.order_by("pk").values_list("pk", flat=True)[0]

        def erase(_: Release) -> None:
            person_erase(person_id=first, source="test")

        meanwhile(monkeypatch, erase)
        assert run(world, CENTRAL).state == "committed"


class TestWithdrawalMeanwhile:
    @pytest.mark.parametrize("wanted", [LOCAL, GROUPS, NAMES, COARSE])
    def test_no_row_of_somebody_who_withdrew_is_stored(
        self, world: LoopVersion, wanted: AnonymizeRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        meanwhile(monkeypatch, lambda _: withdraw(1))
        with pytest.raises(Conflict, match="withdrew consent while"):
            run(world, wanted)
        assert not ReleaseRound.objects.exists() and spent() == (0, 0)

    @pytest.mark.parametrize("wanted", ALL)
    def test_what_is_computed_after_a_withdrawal_does_not_read_them(
        self, world: LoopVersion, wanted: AnonymizeRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        release = anonymize_begin(key="one", loop_version=world, request=wanted)
        gone, read = withdraw(3), list[int]()

        def reading(**given: Any) -> Any:
            read.extend(given["person_ids"])
            return feature_records(**given)

        monkeypatch.setattr("privacy.services.anonymize.compute.feature_records", reading)
        assert anonymize_finish(release=release).state == "committed"
        assert len(set(read)) == PEOPLE - 3 and not set(read) & set(gone)

    def test_rows_of_too_few_are_not_made(self, world: LoopVersion) -> None:
        release = anonymize_begin(key="one", loop_version=world, request=NAMES)
        withdraw(PEOPLE - 9)
        with pytest.raises(InsufficientData, match="too few"):
            anonymize_finish(release=release)
        assert spent() == (0, 0) and not ReleaseRound.objects.exists()


def withdraw(count: int) -> list[int]:
    people = list(PrivacyBudget.objects.order_by("pk").values_list("pk", flat=True)[:count])
    consent_withdraw(person_ids=people, purposes=[Purpose.TRAINING], source="app")
    return people


class TestSweep:
    def test_a_forgotten_charge_is_given_back_after_a_day_and_not_before(self, world: LoopVersion) -> None:
        release = anonymize_begin(key="one", loop_version=world, request=replace(LOCAL, samples=30))
        before = reservations_settle()
        assert (before.refunded, before.kept) == (0, 0) and spent()[0] > 0
        assert reservations_settle(now=timezone.now() + LATER, busy=[release.key]).refunded == 0
        assert reservations_settle(now=timezone.now() + LATER).refunded == 1
        assert spent() == (0, 0) and events(release) == ["refunded"]
        assert reservations_settle(now=timezone.now() + LATER).refunded == 0

    def test_what_drew_noise_stays_charged_and_frees_its_outcomes(self, world: LoopVersion) -> None:
        release = reserve(world, parameters={"kind": "moments"})
        outcome = RewardSignal.objects.create(
            decision=Decision.objects.all()[0], release=release, payload=np.zeros(7).tobytes(), closed_at=timezone.now()
        )
        round_store(release=release, index=0, arrays=noised(release, share=0.1))
        charged = spent()
        found = reservations_settle(now=timezone.now() + LATER)
        outcome.refresh_from_db()
        assert (found.refunded, found.kept) == (0, 1) and spent() == charged and outcome.release is None
        assert Release.objects.get().state == "abandoned" and events(release) == ["abandoned"]
        assert reservations_settle(now=timezone.now() + LATER).kept == 0 and events(release) == ["abandoned"], (
            "told once"
        )

    def test_a_worker_that_comes_back_to_an_abandoned_one_stores_nothing(self, world: LoopVersion) -> None:
        release = reserve(world)
        round_store(release=release, index=0, arrays=noised(release, share=0.1))
        assert reservation_end(release=release) == "abandoned" == reservation_end(release=release)
        with pytest.raises(Conflict, match="abandoned"):
            round_store(release=release, index=1, arrays=noised(release, share=0.1))
        with pytest.raises(Conflict, match="abandoned"):
            release_commit(release=release, noisy_users=3.0)
        with pytest.raises(Conflict, match="was abandoned; use a new key"):
            reserve(world)

    def test_a_committed_one_is_left_alone(self, world: LoopVersion) -> None:
        release = run(world, CENTRAL)
        found = reservations_settle(now=timezone.now() + LATER)
        assert (found.refunded, found.kept) == (0, 0) and events(release) == ["committed"]
