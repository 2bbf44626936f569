"""Preview a release from what is public: its cost, about how many people it would reach, and how many it needs.

A preview is free and may be asked for without end, so it reads no record, budget or consent of anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from loops.models import LoopVersion
from privacy.engine.anonymize.registry import technique_of
from privacy.engine.anonymize.request import AnonymizeRequest
from privacy.engine.dp.accounting import NANO
from privacy.engine.dp.coarse_counts import two_digits
from privacy.services.anonymize.cohort_sampling import people_public
from privacy.services.anonymize.run import asked_fields, least_people


@dataclass(frozen=True)
class Preview:
    """The cost and the likely reach of a release.

    ``policy_units`` is the charge per person. Epsilon and delta are None for a technique without a formal guarantee.
    ``people``: about how many would be charged, rounded to two digits; None while no number of people is public.
    ``least_people``: with fewer, the release would be refused. ``warning``: why it will probably be refused, or empty.
    """

    policy_units: float
    formal_epsilon: float | None
    formal_delta: float | None
    guarantee: str
    people: int | None
    least_people: int
    warning: str


def anonymize_preview(*, loop_version: LoopVersion, request: AnonymizeRequest) -> Preview:
    """Preview an anonymisation. Raises InputError for a request that would be refused whoever the people are.

    It is a function of the request, the loop file, the settings and the number of people that an earlier release stated under
    noise. So previews, however many, tell no more about a person than that release did.
    """
    fields = asked_fields(loop_version, request)
    people = _reached(people_public(loop_version), request.samples)
    least = least_people(technique_of(request.technique, request.mode), request)
    return Preview(
        policy_units=fields["policy_cost"] / NANO,
        formal_epsilon=fields["formal_epsilon"],
        formal_delta=fields["formal_delta"],
        guarantee=fields["guarantee"],
        people=people,
        least_people=least,
        warning=_warning(people, request.samples, least),
    )


def _warning(people: int | None, samples: int | None, least: int) -> str:
    """Return why a release of ``samples`` people will probably be refused, by what is public; empty if nothing speaks for it."""
    if samples is not None and samples < least:
        return (
            f"it asks for {samples:,} people and needs at least {least:,}, so it will probably be refused; ask for more"
        )
    if people is not None and people < least:
        return f"it needs at least {least:,} people and would reach about {people:,}, so it will probably be refused"
    return ""


def _reached(people: float | None, samples: int | None) -> int | None:
    """Return about how many people a request for ``samples`` of them (None: everybody) would charge."""
    if people is None:
        return None
    return two_digits(round(people if samples is None else min(people, samples)))
