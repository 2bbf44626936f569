"""Preview a release: its cost, and roughly how many people it would include and leave out. Nothing is charged or written."""

from __future__ import annotations

from dataclasses import dataclass

from loops.models import LoopVersion
from privacy.engine.anonymize.registry import technique_of
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.engine.dp.accounting import NANO
from privacy.engine.dp.coarse_counts import two_digits
from privacy.models import Purpose
from privacy.selectors.consents import consented
from privacy.selectors.decisions import training_folds
from privacy.selectors.payable import cohort_people
from privacy.services.anonymize.cohort_sampling import public_rate
from privacy.services.anonymize.contributors import contributors, paying_people
from privacy.services.anonymize.feature_records import people_with_records
from privacy.services.anonymize.run import asked_columns, release_fields


@dataclass(frozen=True)
class Preview:
    """The cost and the reach of a release. Counts are rounded to two digits, or follow from one that is.

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
    """Preview an anonymisation. Raises InputError for a request that would be refused.

    Each count is rounded to its band before anything that the caller chose is applied to it: a multiplier or a limit of their own
    would move the edges of the bands, and many previews would then tell the exact count.
    """
    columns = asked_columns(loop_version, request)
    fields, technique = release_fields(request, columns), technique_of(request.technique, request.mode)
    records, spec = people_with_records(loop_version=loop_version, data_type=request.data_type), loop_version.spec
    cohort = cohort_people(loop_version, spec.population, training_folds(spec), records)
    consenting = consented(Purpose.TRAINING).filter(person_id__in=cohort.values("pk")).count()
    paying = paying_people(
        loop_version=loop_version, data_type=request.data_type, policy_nano=fields["policy_cost"], rho_nano=fields["rho"] or 0
    )  # fmt: skip
    able = contributors(
        loop_version=loop_version, data_type=request.data_type, technique=technique, columns=columns, paying=paying
    )
    return Preview(
        policy_units=fields["policy_cost"] / NANO,
        formal_epsilon=fields["formal_epsilon"],
        formal_delta=fields["formal_delta"],
        guarantee=fields["guarantee"],
        people=_reached(two_digits(able.count()), loop_version, request),
        without_consent=two_digits(cohort.count() - consenting),
        without_budget=two_digits(consenting - paying.count()),
    )


def _reached(people: int, loop_version: LoopVersion, request: AnonymizeRequest) -> int:
    """Return about how many of ``people``, which is rounded, a request would charge."""
    if technique_of(request.technique, request.mode).statistics:
        return round(people * public_rate(loop_version=loop_version, request=request))
    return people if request.samples is None else min(people, request.samples)
