"""Find the people who would contribute to an anonymisation. Nobody else is charged for it."""

from __future__ import annotations

from django.db.models import QuerySet

from core.id_list import id_list
from loops.models import LoopVersion
from privacy.engine.anonymize.columns import Column
from privacy.engine.anonymize.protocol import Technique
from privacy.models import Person, PrivacyBudget, Purpose
from privacy.selectors.decisions import training_folds
from privacy.selectors.payable import cohort_people, payable
from privacy.services.anonymize.feature_records import complete_people, people_with_records


def paying_people(
    *, loop_version: LoopVersion, data_type: str, policy_nano: int, rho_nano: int
) -> QuerySet[PrivacyBudget]:
    """Return the budgets of the people with a record who consent to training and could pay this charge."""
    records = people_with_records(loop_version=loop_version, data_type=data_type)
    spec = loop_version.spec
    people = cohort_people(loop_version, spec.population, training_folds(spec), records)
    able = payable(policy_nano=policy_nano, rho_nano=rho_nano, purpose=Purpose.TRAINING)
    return able.filter(person_id__in=people.values("pk"))


def contributors(
    *, loop_version: LoopVersion, data_type: str, technique: Technique, columns: tuple[Column, ...],
    paying: QuerySet[PrivacyBudget],
) -> QuerySet[Person]:  # fmt: skip
    """Return the people among ``paying`` who would contribute: each by their own records, so nobody depends on anybody else.

    Where everybody gives a row, also without a complete record, that somebody has one must not show. There it is all of them.
    Otherwise their records are opened, to see whether one has all columns.
    """
    ids = list(paying.order_by("person_id").values_list("person_id", flat=True))
    if not technique.rows_for_all:
        ids = complete_people(loop_version=loop_version, data_type=data_type, person_ids=ids, columns=columns)
    return Person.objects.filter(pk__in=id_list(ids))
