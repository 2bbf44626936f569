"""How many people statistics are asked of: everybody by a coin of their own, so that one person moves the sums by one person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.db import transaction
from django.utils import timezone

from loops.models import LoopVersion
from privacy.engine.anonymize.central_dp import central_release
from privacy.engine.dp.accounting import LATTICE_STEPS
from privacy.models import LedgerEntry, Person, PrivacyBudget, Release
from privacy.selectors.decisions import charged_person_ids
from privacy.services.anonymize.cohort_sampling import public_rate
from privacy.services.anonymize.run import anonymize
from tests.factories.anonymize import CENTRAL, PEOPLE, make_world
from tests.factories.decisions import decision
from tests.factories.people import UNIT

pytestmark = pytest.mark.django_db
WANTED = replace(CENTRAL, samples=30)


@pytest.fixture
def world(settings: Any) -> LoopVersion:
    """Eighty people, of whom a release has said under noise that they are about eighty; caps that allow many releases."""
    settings.MIN_COHORT = 1
    version = make_world()
    PrivacyBudget.objects.update(
        cap_day=100 * UNIT, cap_week=100 * UNIT, cap_month=100 * UNIT, cap_lifetime=100 * UNIT, rho_cap=100 * UNIT
    )
    anonymize(key="first", loop_version=version, request=CENTRAL)
    Release.objects.update(noisy_users=float(PEOPLE))
    return version


def released(world: LoopVersion, key: str, monkeypatch: pytest.MonkeyPatch) -> tuple[set[int], dict[str, np.ndarray]]:
    """Who is charged for a release, and its integer sums before noise; the database is as it was afterwards."""
    seen: list[Any] = []

    def spy(totals: Any, *rest: Any) -> Any:
        seen.append(totals)
        return central_release(totals, *rest)

    monkeypatch.setattr("privacy.engine.anonymize.central_dp.central_release", spy)
    with transaction.atomic():
        made = anonymize(key=key, loop_version=world, request=WANTED)
        charged = set(charged_person_ids(release=made).tolist())
        transaction.set_rollback(True)
    return charged, dict(seen[0].blocks)


def add_person(world: LoopVersion, fold: int, state: tuple[float, float]) -> int:
    """Somebody more, with one record."""
    person = Person.objects.create(population=world.spec.population, key=f"more-{fold}", fold=fold)
    like: dict[str, Any] = dict(PrivacyBudget.objects.values()[0])
    PrivacyBudget.objects.create(**{**like, "person_id": person.pk, "spent_day": 0, "rho_spent": 0})
    decision(world, person.pk, state, timezone.now()).save()
    return person.pk


def test_one_person_more_moves_the_sums_by_at_most_one_clip_and_charges_nobody_else(
    world: LoopVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = 0
    for i in range(25):
        key = f"try-{i}"
        without, before = released(world, key, monkeypatch)
        with transaction.atomic():
            pk = add_person(world, fold=9_000 + i, state=(-1.0, 2.0))
            within, after = released(world, key, monkeypatch)
            transaction.set_rollback(True)
        assert within - without <= {pk} and without <= within
        entered += pk in within
        for name, total in before.items():
            moved = int(np.square((after[name] - total).astype(object)).sum())
            assert moved <= LATTICE_STEPS**2 and (moved > 0) == (pk in within), name
    assert 0 < entered < 25, "of 25 coins at 3/8 all fall alike in less than one of 100,000 runs"


def test_about_so_many_enter_and_only_they_are_charged(world: LoopVersion) -> None:
    entered = []
    for i in range(20):
        made = anonymize(key=f"try-{i}", loop_version=world, request=WANTED)
        assert made.parameters["rate"] <= 1.0 and LedgerEntry.objects.filter(release=made).count() > 0
        entered.append(LedgerEntry.objects.filter(release=made).count())
        Release.objects.filter(pk=made.pk).update(noisy_users=PEOPLE * made.parameters["rate"])
    assert abs(np.mean(entered) - 30) < 8 and len(set(entered)) > 1  # 20 draws: sd of the mean below 1.5


def test_the_share_follows_from_what_is_public_alone(world: LoopVersion) -> None:
    assert public_rate(loop_version=world, request=WANTED) == 30 / PEOPLE
    Release.objects.update(noisy_users=300.0)
    assert public_rate(loop_version=world, request=WANTED) == 0.1
    latest = Release.objects.get()
    Release.objects.update(noisy_users=30.0, parameters=latest.parameters | {"rate": 0.1})
    assert public_rate(loop_version=world, request=WANTED) == 0.1, "of a part the whole is stated"
    assert public_rate(loop_version=world, request=CENTRAL) == 1.0
    assert public_rate(loop_version=world, request=replace(WANTED, samples=1_000)) == 1.0
    Release.objects.update(state="reserved", committed_at=None)
    assert public_rate(loop_version=world, request=WANTED) == 1.0, "while no number is public, everybody enters"


def test_a_retry_keeps_the_share_of_the_first(world: LoopVersion) -> None:
    first = anonymize(key="one", loop_version=world, request=WANTED)
    Release.objects.update(noisy_users=1_000.0)
    assert anonymize(key="one", loop_version=world, request=WANTED) == first
