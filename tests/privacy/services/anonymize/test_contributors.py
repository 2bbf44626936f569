"""Only who contributes pays: whoever lacks a field in every record is charged nothing, unless everybody gives a row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from django.utils import timezone

from core.errors import BudgetExceeded
from loops.models import LoopVersion
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.models import Decision, PrivacyBudget, Release
from privacy.selectors.decisions import charged_person_ids
from tests.factories.anonymize import CENTRAL, COARSE, GROUPS, LOCAL, NAMES, PEOPLE, make_world, run
from tests.factories.decisions import decision

pytestmark = pytest.mark.django_db
WITHOUT_A_PLACE = 12
ALL_WITH_PLACE = [replace(w, data_type="pulse") for w in (CENTRAL, GROUPS, NAMES)] + [COARSE]


@pytest.fixture(scope="module")
def world(rows_of_module: None) -> LoopVersion:
    return make_world()


def without_place(world: LoopVersion, people: list[int]) -> set[int]:
    """Take the place out of every record of these people."""
    Decision.objects.filter(person_id__in=people).delete()
    now = timezone.now()
    Decision.objects.bulk_create(decision(world, pk, [0.5, np.nan], now, row_key=f"{pk}".encode()) for pk in people)
    return set(people)


def ids() -> list[int]:
    return list(PrivacyBudget.objects.order_by("pk").values_list("pk", flat=True))


@pytest.mark.parametrize("wanted", ALL_WITH_PLACE)
def test_whoever_lacks_a_field_in_every_record_is_not_charged(world: LoopVersion, wanted: AnonymizeRequest) -> None:
    lacking = without_place(world, ids()[:WITHOUT_A_PLACE])
    charged = set(charged_person_ids(release=run(world, wanted)).tolist())
    assert charged == set(ids()) - lacking
    assert not PrivacyBudget.objects.filter(pk__in=lacking, spent_lifetime__gt=0).exists()
    assert not PrivacyBudget.objects.filter(pk__in=lacking, formal_void_at__isnull=False).exists()


def test_with_fields_that_they_have_they_contribute_and_pay(world: LoopVersion) -> None:
    without_place(world, ids()[:WITHOUT_A_PLACE])
    release = run(world, replace(GROUPS, fields=("mood",)))
    assert len(charged_person_ids(release=release)) == PEOPLE


def test_local_rows_do_not_show_who_has_a_complete_record(world: LoopVersion) -> None:
    """Everybody gives a row, and all of what one says is protected, also how much it is."""
    without_place(world, ids()[:WITHOUT_A_PLACE])
    release = run(world, LOCAL)
    assert len(charged_person_ids(release=release)) == PEOPLE and release.rows_out == PEOPLE


def test_a_sample_is_drawn_from_those_who_contribute(world: LoopVersion) -> None:
    lacking = without_place(world, ids()[:20])
    charged = set(charged_person_ids(release=run(world, replace(GROUPS, samples=PEOPLE - 20))).tolist())
    assert charged == set(ids()) - lacking


def test_nobody_contributes_nobody_pays(world: LoopVersion) -> None:
    without_place(world, ids())
    with pytest.raises(BudgetExceeded, match="nobody was charged"):
        run(world, GROUPS)
    assert not Release.objects.exists() and not PrivacyBudget.objects.filter(spent_lifetime__gt=0).exists()
