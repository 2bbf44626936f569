"""Build answers about releases, anonymisations and budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers

from jobs.models import Job, JobState
from privacy.engine.anonymize.registry import technique_names
from privacy.engine.data_types import DATA_TYPES
from privacy.models import Release, ReleaseState
from privacy.selectors.budgets import PERIOD_NAMES
from privacy.services.anonymize.export_tables import holds_statistics, is_anonymization, statistics
from privacy.services.anonymize.preview import Preview
from privacy.services.releases.summary import release_summary
from r3al_project.api.answers.shape import Answer, PageAnswer, Shape, camel_keys, nullable_number


class ReleaseAnswer(Shape):
    """A row of the permanent log of releases. The policy cost and the formal epsilon are separate accounts, never added."""

    releaseId = serializers.IntegerField()
    state = serializers.ChoiceField(choices=ReleaseState.choices)
    loop = serializers.CharField()
    purpose = serializers.CharField()
    dataType = serializers.ChoiceField(choices=DATA_TYPES, allow_null=True)
    technique = serializers.ChoiceField(choices=technique_names())
    mechanism = serializers.CharField()
    unit = serializers.CharField()
    neighbouring = serializers.CharField()
    guarantee = serializers.CharField()
    policyCost = serializers.FloatField()
    formalEpsilon = nullable_number(help_text="Null: the technique has no formal guarantee.")
    formalDelta = nullable_number()
    rho = nullable_number()
    people = serializers.IntegerField(allow_null=True, help_text="A noised count.")
    rowsIn = serializers.IntegerField(allow_null=True)
    rowsOut = serializers.IntegerField(allow_null=True)
    informationLoss = nullable_number()
    parameters = serializers.DictField(help_text="Public parameters. Their names depend on the technique.")
    library = serializers.CharField(allow_null=True)
    createdAt = serializers.DateTimeField()
    committedAt = serializers.DateTimeField(allow_null=True)


def release_answer(release: Release) -> Answer:
    """Build a row of the log.

    Its keys can become camelCase because none is a name from a loop file: columns are listed as values.
    """
    row: Answer = camel_keys(release_summary(release))
    return row


class ReleasesAnswer(PageAnswer):
    results = ReleaseAnswer(many=True)


class IntervalAnswer(Shape):
    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class ColumnAnswer(Shape):
    """A numeric column has ``mean`` and ``quantiles`` by level. A categorical one has a ``histogram`` of shares by category."""

    mean = IntervalAnswer(required=False)
    quantiles = serializers.DictField(child=IntervalAnswer(), required=False)
    histogram = serializers.DictField(child=serializers.FloatField(), required=False)


class StatisticsAnswer(Shape):
    """Noised statistics. The intervals cover only the noise, not sampling error."""

    users = serializers.FloatField()
    usersSd = serializers.FloatField(help_text="Standard deviation of the noise on users.")
    columns = serializers.DictField(child=ColumnAnswer(), help_text="Statistics of each column, by name.")


def statistics_answer(read: Mapping[str, Any]) -> Answer:
    """Build the statistics of a release. Its columns keep their names from the loop file."""
    return {"users": read["users"], "usersSd": read["users_sd"], "columns": read["columns"]}


class ReleaseDetailAnswer(ReleaseAnswer):
    """The row of the log. A committed anonymisation also has its ``statistics``, or the address of its rows."""

    statistics = StatisticsAnswer(required=False)
    rowsUrl = serializers.CharField(required=False)


def release_detail_answer(release: Release) -> Answer:
    """Build a row of the log, with the result of a committed anonymisation."""
    row = release_answer(release)
    if not is_anonymization(release) or release.state != ReleaseState.COMMITTED:
        return row
    if holds_statistics(release):
        return row | {"statistics": statistics_answer(statistics(release))}
    return row | {"rowsUrl": f"{release_url(release)}/rows"}


def release_url(release: Release) -> str:
    """Return the address of a release's row in the log."""
    return f"/api/v1/privacy/releases/{release.pk}"


class AnonymizeAnswer(ReleaseDetailAnswer):
    """The release, its first rows if it holds rows, and the key by which a retry finds it."""

    jobId = serializers.IntegerField()
    idempotencyKey = serializers.CharField()
    columns = serializers.ListField(child=serializers.CharField(), required=False)
    csv = serializers.ListField(child=serializers.CharField(), required=False)


def anonymize_answer(release: Release, job: Job, key: str, lines: Sequence[str]) -> Answer:
    """Build the answer about a finished anonymisation.

    lines: its CSV, header first; empty for statistics.
    """
    rows = {"columns": lines[0].split(","), "csv": list(lines[1:])} if lines else {}
    return release_detail_answer(release) | {"jobId": job.pk, "idempotencyKey": key} | rows


class AnonymizeAccepted(Shape):
    """A release that is charged and still being computed. Follow its job, then read the release."""

    releaseId = serializers.IntegerField()
    jobId = serializers.IntegerField()
    idempotencyKey = serializers.CharField()
    status = serializers.ChoiceField(choices=JobState.choices)
    releaseUrl = serializers.CharField()


def anonymize_accepted(release: Release, job: Job, key: str) -> Answer:
    """Build the answer about an anonymisation that is still being computed."""
    release_and_job = {"releaseId": release.pk, "jobId": job.pk, "idempotencyKey": key}
    return release_and_job | {"status": job.state, "releaseUrl": release_url(release)}


class PreviewAnswer(Shape):
    """The cost to each person, and about how many people there are by what is public (null: no number is public yet)."""

    policyCost = serializers.FloatField()
    formalEpsilon = nullable_number()
    formalDelta = nullable_number()
    guarantee = serializers.CharField()
    people = serializers.IntegerField(allow_null=True)
    leastPeople = serializers.IntegerField()
    warning = serializers.CharField(allow_blank=True)


def preview_answer(preview: Preview) -> Answer:
    """Build the cost of an anonymisation and its public numbers of people."""
    return {
        "policyCost": preview.policy_units, "formalEpsilon": preview.formal_epsilon,
        "formalDelta": preview.formal_delta, "guarantee": preview.guarantee, "people": preview.people,
        "leastPeople": preview.least_people, "warning": preview.warning,
    }  # fmt: skip


class StandingAnswer(Shape):
    """Counts of people by the share of a cap that they have spent: nothing, some, 80% or more, all of it."""

    untouched = serializers.IntegerField()
    some = serializers.IntegerField()
    near = serializers.IntegerField()
    spent = serializers.IntegerField()


class StandingsAnswer(Shape):
    day = StandingAnswer()
    week = StandingAnswer()
    month = StandingAnswer()
    lifetime = StandingAnswer()


class ConsentingAnswer(Shape):
    personalization = serializers.IntegerField()
    training = serializers.IntegerField()
    evaluation = serializers.IntegerField()


class BudgetsAnswer(Shape):
    """Counts of people, rounded to two digits."""

    period = serializers.ChoiceField(choices=PERIOD_NAMES)
    people = serializers.IntegerField()
    consents = ConsentingAnswer()
    windows = StandingsAnswer()
    formal = StandingAnswer()
    formalVoid = serializers.IntegerField(
        help_text="People whose formal account was ended by an export without a formal guarantee."
    )


def budgets_answer(overview: Mapping[str, Any]) -> Answer:
    """Build the counts of people by spent budget from ``budgets_overview``."""
    counts: Answer = camel_keys(overview)
    return counts
