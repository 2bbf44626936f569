from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from core.errors import InputError
from loops.models import Loop
from privacy.engine.dp.accounting import NANO, rho_cap_nano
from privacy.models import Person, PrivacyBudget
from privacy.selectors.default_caps import RHO_CAP, default_caps
from privacy.services.people.identity import (
    people_find,
    people_get_or_create,
    person_find,
    person_fold,
    person_key,
)
from tests.factories.loops import loop_version

pytestmark = pytest.mark.django_db


def test_a_person_is_created_once() -> None:
    first = people_get_or_create(population="app", identifiers=["ann", "ben"])
    again = people_get_or_create(population="app", identifiers=["ben", "cat", "ann"])
    assert again | first == again and len(set(again.values())) == 3
    assert Person.objects.count() == PrivacyBudget.objects.count() == 3


def test_nobody_is_nobody() -> None:
    assert people_get_or_create(population="app", identifiers=[]) == {}


def test_a_new_budget_is_untouched_without_consent_and_begins_today() -> None:
    (pk,) = people_get_or_create(population="app", identifiers=["ann"]).values()
    budget = PrivacyBudget.objects.get(pk=pk)
    today = datetime.now(UTC).date()
    assert (budget.day, budget.week, budget.month) == (
        today,
        today - timedelta(days=today.weekday()),
        today.replace(day=1),
    )
    assert budget.consent_mask == budget.spent_lifetime == budget.rho_spent == 0
    assert [budget.cap_day, budget.cap_week, budget.cap_month, budget.cap_lifetime] == [n * NANO for n in (1, 2, 4, 24)]
    assert budget.rho_cap == RHO_CAP


def test_the_lifetime_rho_is_that_of_epsilon_8_at_delta_1e_6() -> None:
    assert rho_cap_nano(8.0, 1e-6) == RHO_CAP


def test_the_identifier_is_not_stored() -> None:
    people_get_or_create(population="app", identifiers=["ann@example.org"])
    assert "ann" not in str(Person.objects.values().get())


def test_populations_salts_and_neighbouring_texts_give_other_pseudonyms() -> None:
    key = person_key(population="app", identifier="ann")
    others = {
        person_key(population="app2", identifier="ann"),
        person_key(population="ap", identifier="pann"),
        person_key(population="app", identifier="Ann"),
    }
    with override_settings(ANONYMIZATION_SALT="another"):
        others.add(person_key(population="app", identifier="ann"))
    assert len(key) == 64 and len(others | {key}) == 5


@pytest.mark.parametrize("spelled", [" ann ", "\uff41nn", "ann\u00a0"])
def test_a_person_has_one_pseudonym_and_one_fold_however_they_are_spelled(spelled: str) -> None:
    assert person_key(population="app", identifier=spelled) == person_key(population="app", identifier="ann")
    assert person_fold(population="app", identifier=spelled) == person_fold(population="app", identifier="ann")


def test_spellings_of_one_batch_are_one_person() -> None:
    ids = people_get_or_create(population="app", identifiers=["12", "12.0", " 12", "012"])
    assert ids["12"] == ids["12.0"] == ids[" 12"] != ids["012"] and Person.objects.count() == 2


@pytest.mark.parametrize("text", ["", "a\u200bb", "x" * 201])
def test_an_unusable_identifier_creates_nobody(text: str) -> None:
    with pytest.raises(InputError, match="a person's identifier"):
        people_get_or_create(population="app", identifiers=["ann", text])
    assert not Person.objects.exists()


def test_a_person_is_found_by_their_identifier_in_each_population() -> None:
    loop_version("one")
    Loop.objects.create(name="two", population="staff")
    mine = people_get_or_create(population="people", identifiers=["12"])["12"]
    others = people_get_or_create(population="staff", identifiers=["12"])["12"]
    assert [p.pk for p in people_find(identifier=" 12.0")] == [mine, others]
    assert person_find(population="staff", identifier="13") is None


def test_folds_are_even_and_independent_of_pseudonyms() -> None:
    """Chi-square over ten cells: false alarm below 1e-6 (over 45.1 at 9 degrees), and the identifiers are fixed besides."""
    names = [f"person {i}" for i in range(5_000)]
    folds = [person_fold(population="app", identifier=n) for n in names]
    digits = [int(person_key(population="app", identifier=n)[:8], 16) % 10_000 for n in names]
    assert min(folds) >= 0 and max(folds) < 10_000
    for cells in (
        [f // 1_000 for f in folds],
        [(f + d) % 10_000 // 1_000 for f, d in zip(folds, digits, strict=True)],
    ):
        counts = [cells.count(c) for c in range(10)]
        assert sum((c - 500) ** 2 / 500 for c in counts) < 45.1


def test_a_raised_maximum_fits_into_a_new_persons_windows() -> None:
    with override_settings(MAX_PRIVACY_EPSILON=3.0):
        caps = default_caps()
    assert caps == {"cap_day": 3 * NANO, "cap_week": 3 * NANO, "cap_month": 4 * NANO, "cap_lifetime": 24 * NANO}
    with override_settings(MAX_PRIVACY_EPSILON=0.5):
        assert default_caps()["cap_day"] == NANO
