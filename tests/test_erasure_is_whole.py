"""Whoever is erased is gone from every table: no row refers to them but their budget and what they were charged."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db.models import ForeignKey, Model, OneToOneField

from privacy.models import DataKey, LedgerEntry, Person, PersonAccount, PrivacyBudget
from privacy.services.people.erasure import person_erase
from tests.factories.every_table import furnish

pytestmark = pytest.mark.django_db
STAYS = {PrivacyBudget, LedgerEntry}


def referring() -> list[tuple[type[Model], str]]:
    """Every column of every table that refers to a person, or to what is one person's own."""
    own = {Person, DataKey}
    return [
        (model, field.name)
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.get_fields()
        if isinstance(field, ForeignKey | OneToOneField) and field.related_model in own
    ]


def test_no_row_refers_to_somebody_erased_but_budget_and_ledger() -> None:
    furnish()
    person = PersonAccount.objects.earliest("pk").person
    before = {(m, f) for m, f in referring() if m._default_manager.filter(**{f: person.pk}).exists()}
    assert {m for m, _ in before} == {m for m, _ in referring()}, "the house has a row of them in every such table"
    person_erase(person_id=person.pk, source="test")
    left = {model for model, field in referring() if model._default_manager.filter(**{field: person.pk}).exists()}
    assert left == STAYS
