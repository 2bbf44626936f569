"""Previews are free, so they read nobody's rows: no number of them, with any parameters, tells something about one person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.errors import InputError
from loops.models import LoopVersion
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import Decision, Person, PrivacyBudget, Purpose, Release
from privacy.services.anonymize.preview import Preview, anonymize_preview
from privacy.services.budget.caps import CapReason, cap_change
from privacy.services.people.consent import consent_withdraw
from tests.factories.anonymize import ALL, CENTRAL, GROUPS, LOCAL, PEOPLE, make_world
from tests.factories.decisions import decision
from tests.factories.people import UNIT

pytestmark = pytest.mark.django_db
EDGE = 85  # people: one fewer would be rounded to another ten


def state_people(world: LoopVersion, people: float) -> None:
    """Store a release that has said under noise that its people are about so many."""
    Release.objects.create(
        key=f"public-{people}", loop_version=world, purpose="training", technique="differential_privacy", mechanism="m",
        policy_cost=1, guarantee="g", state="committed", committed_at=timezone.now(), noisy_users=people,
    )  # fmt: skip


def one_more(world: LoopVersion) -> Person:
    """Add a person with consent, budget and a whole record."""
    like = PrivacyBudget.objects.select_related("person").latest("pk")
    more = Person.objects.create(
        population=like.person.population, key=f"more-{Person.objects.count()}", fold=like.person.fold
    )
    PrivacyBudget.objects.create(**dict(PrivacyBudget.objects.values().get(pk=like.pk)) | {"person_id": more.pk})
    Decision.objects.bulk_create([decision(world, more.pk, [0.5, 1.0], timezone.now())])
    return more


@pytest.fixture(scope="module")
def world(rows_of_module: None) -> LoopVersion:
    version = make_world()
    for _ in range(EDGE - PEOPLE):
        one_more(version)
    return version


def grid() -> list[AnonymizeRequest]:
    """Requests with every technique, and with fields, kinds of record, numbers of people and epsilons of the caller's own."""
    choices = product((None, ("mood",), ("place",)), ("pulse", "emotion", "categorical"), (None, 3, 84, 85, 86, 1_000))
    shared = [
        replace(wanted, fields=fields, data_type=kind, samples=samples)
        for fields, kind, samples in choices
        for wanted in ALL
    ]
    return (
        shared
        + [replace(w, epsilon=e / 20) for w in (CENTRAL, LOCAL) for e in range(1, 20)]
        + [replace(GROUPS, options={"k": k}) for k in range(2, 100)]
    )


def previews(world: LoopVersion) -> list[Preview | str]:
    def answer(request: AnonymizeRequest) -> Preview | str:
        try:
            return anonymize_preview(loop_version=world, request=request)
        except InputError as error:
            return str(error)

    return [answer(request) for request in grid()]


def erase_records(world: LoopVersion, person: Person) -> None:
    Decision.objects.filter(person=person).delete()


def withdraw(world: LoopVersion, person: Person) -> None:
    consent_withdraw(person_ids=[person.pk], purposes=[Purpose.TRAINING], source="test")


def cap_at_nothing(world: LoopVersion, person: Person) -> None:
    cap_change(person_id=person.pk, window="day", cap=0, reason=CapReason.REQUEST, actor="an officer")


def spend_all(world: LoopVersion, person: Person) -> None:
    PrivacyBudget.objects.filter(person=person).update(spent_day=9 * UNIT)


def leave(world: LoopVersion, person: Person) -> None:
    Decision.objects.filter(person=person).delete()
    PrivacyBudget.objects.filter(person=person).delete()
    person.delete()


@pytest.mark.parametrize("stated", [None, 84.6])
@pytest.mark.parametrize("differ", [erase_records, withdraw, cap_at_nothing, spend_all, leave])
def test_no_preview_depends_on_any_one_person(
    world: LoopVersion, differ: Callable[[LoopVersion, Person], None], stated: float | None
) -> None:
    """Two databases that differ in one person, at the edge of a band, answer every preview of a grid alike."""
    if stated:
        state_people(world, stated)
    with_them = previews(world)
    differ(world, Person.objects.latest("pk"))
    assert previews(world) == with_them
    assert sum(isinstance(found, Preview) for found in with_them) > 200


def test_no_table_of_people_is_read(world: LoopVersion) -> None:
    state_people(world, 84.6)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        previews(world)
    tables = {table for table in connection.introspection.table_names() if any(f'"{table}"' in q["sql"] for q in asked)}
    assert tables <= {"anonymization_logs", "loops", "loop_versions"} and "anonymization_logs" in tables


def test_it_says_the_number_that_is_public_and_the_least_that_is_needed(world: LoopVersion, settings: Any) -> None:
    settings.MIN_COHORT = 50
    preview = anonymize_preview(loop_version=world, request=CENTRAL)
    assert (preview.people, preview.least_people) == (None, 50), "no number is public yet"
    state_people(world, 133.0)
    preview = anonymize_preview(loop_version=world, request=replace(GROUPS, options={"k": 60}))
    assert (preview.people, preview.least_people) == (130, 60)


def test_it_warns_of_a_request_that_will_be_refused(world: LoopVersion, settings: Any) -> None:
    settings.MIN_COHORT = 50
    for wanted in (CENTRAL, GROUPS):
        said = anonymize_preview(loop_version=world, request=replace(wanted, samples=20)).warning
        assert said.startswith("it asks for 20 people and needs at least 50, so it will probably be refused")
    large = replace(GROUPS, options={"k": 200})
    assert anonymize_preview(loop_version=world, request=large).warning == "", "no number of people is public"
    state_people(world, 133.0)
    said = anonymize_preview(loop_version=world, request=large).warning
    assert said == "it needs at least 200 people and would reach about 130, so it will probably be refused"
    assert anonymize_preview(loop_version=world, request=CENTRAL).warning == ""


@pytest.mark.parametrize("wanted", [CENTRAL, LOCAL])
def test_a_limit_of_the_caller_limits_it(world: LoopVersion, wanted: AnonymizeRequest) -> None:
    assert anonymize_preview(loop_version=world, request=replace(wanted, samples=13)).people is None
    state_people(world, 130.0)
    told = [anonymize_preview(loop_version=world, request=replace(wanted, samples=n)).people for n in (20, 130, 500)]
    assert told == [20, 130, 130]
