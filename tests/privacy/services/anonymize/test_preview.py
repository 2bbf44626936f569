"""Previews are free, so no number of them tells an exact count: neither by a multiplier nor by a limit of the caller's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone

from loops.models import LoopVersion
from privacy.models import Decision, Person, PrivacyBudget, Release
from privacy.services.anonymize.preview import Preview, anonymize_preview
from tests.factories.anonymize import CENTRAL, GROUPS, PEOPLE, make_world
from tests.factories.decisions import decision

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> LoopVersion:
    """Eighty people, of whom a release has said under noise that they are about a hundred and thirty."""
    version = make_world()
    Release.objects.create(
        key="public", loop_version=version, purpose="training", technique="differential_privacy", mechanism="m",
        policy_cost=1, guarantee="g", state="committed", committed_at=timezone.now(), noisy_users=130.0,
    )  # fmt: skip
    return version


def previews(world: LoopVersion) -> list[Preview]:
    """What many previews say, each with a multiplier or a limit of its own."""
    return [
        anonymize_preview(loop_version=world, request=replace(wanted, samples=samples))
        for wanted in (CENTRAL, replace(GROUPS, options={"k": 2}))
        for samples in range(3, 130, 3)
    ]


def test_one_person_more_in_the_same_band_changes_no_preview(world: LoopVersion) -> None:
    before = previews(world)
    somebody = PrivacyBudget.objects.select_related("person").latest("pk")
    person = Person.objects.create(population=somebody.person.population, key="one more", fold=somebody.person.fold)
    like = dict(PrivacyBudget.objects.values().get(pk=somebody.pk)) | {"person_id": person.pk}
    PrivacyBudget.objects.create(**like)
    Decision.objects.bulk_create([decision(world, person.pk, [0.5, 1.0], timezone.now())])
    assert previews(world) == before


def test_the_multiplier_is_applied_to_the_band(world: LoopVersion) -> None:
    one_in_ten = anonymize_preview(loop_version=world, request=replace(CENTRAL, samples=13))
    assert one_in_ten.people == PEOPLE / 10
