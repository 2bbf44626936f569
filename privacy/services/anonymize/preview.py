"""Preview a release: its cost, and roughly how many people it would include and leave out. Nothing is charged or written."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from loops.models import LoopVersion
from privacy.engine.anonymize.registry import technique_of
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.engine.dp.accounting import NANO
from privacy.engine.dp.coarse_counts import two_digits
from privacy.models import Person, Purpose
from privacy.selectors.consents import consented
from privacy.selectors.decisions import training_folds
from privacy.selectors.payable import cohort_people, payable
from privacy.services.anonymize.cohort_sampling import public_rate
from privacy.services.anonymize.feature_records import people_with_records
from privacy.services.anonymize.run import asked_columns, release_fields


@dataclass(frozen=True)
class Preview:
    """The cost and the reach of a release. Counts are rounded to two digits.

    ``policy_units`` is the charge per person. Epsilon and delta are None for a technique without a formal guarantee.
    ``people`` would be charged. ``without_consent`` and ``without_budget`` would be left out.
    """

    policy_units: float
    formal_epsilon: float | None
    formal_delta: float | None
    guarantee: str
    people: int
    without_consent: int
    without_budget: int


def anonymize_preview(*, loop_version: LoopVersion, request: AnonymizeRequest) -> Preview:
    """Preview an anonymisation. Raises InputError for a request that would be refused."""
    fields = release_fields(request, asked_columns(loop_version, request))
    among = people_with_records(loop_version=loop_version, data_type=request.data_type)
    cohort = cohort_people(loop_version, loop_version.spec.population, training_folds(loop_version.spec), among)
    statistics = technique_of(request.technique, request.mode).statistics
    rate = public_rate(loop_version=loop_version, request=request) if statistics else 1.0
    return _preview(
        cohort, Purpose.TRAINING, fields["policy_cost"], fields["rho"], fields["formal_epsilon"],
        fields["formal_delta"], fields["guarantee"], rate=rate, most=None if statistics else request.samples,
    )  # fmt: skip


def _preview(
    cohort: QuerySet[Person], purpose: Purpose, policy: int, rho: int | None, epsilon: float | None, delta: float | None,
    promise: str, *, rate: float = 1.0, most: int | None,
) -> Preview:  # fmt: skip
    everybody = cohort.count()
    consenting = consented(purpose).filter(person_id__in=cohort.values("pk")).count()
    affordable = payable(policy_nano=policy, rho_nano=rho or 0, purpose=purpose)
    paying = affordable.filter(person_id__in=cohort.values("pk")).count()
    return Preview(
        policy_units=policy / NANO,
        formal_epsilon=epsilon,
        formal_delta=delta,
        guarantee=promise,
        people=two_digits(round(paying * rate) if most is None else min(paying, most)),
        without_consent=two_digits(everybody - consenting),
        without_budget=two_digits(consenting - paying),
    )
