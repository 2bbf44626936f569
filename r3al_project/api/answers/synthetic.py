"""Build answers about synthetic jobs."""

from __future__ import annotations

from rest_framework import serializers

from jobs.models import JobState
from r3al_project.api.answers.shape import Answer, PageAnswer, Shape, camel_keys, nullable_number
from training.engine.generators.registry import GENERATORS
from training.models import SyntheticJob, SyntheticSource
from training.selectors.synthetic import report_is_kept, rows_are_kept, synthetic_summary


class ScorePartAnswer(Shape):
    """One measured part of a score, with its interval where it has one."""

    name = serializers.CharField()
    value = serializers.FloatField()
    low = nullable_number()
    high = nullable_number()
    rows = serializers.IntegerField(help_text="What it was computed on, in the unit.")
    unit = serializers.CharField()
    note = serializers.CharField(allow_blank=True)


class ScoreFailureAnswer(Shape):
    """A score below its bar, and what to do."""

    score = serializers.CharField()
    value = serializers.FloatField()
    bar = serializers.FloatField()
    reason = serializers.CharField()


class SyntheticAnswer(Shape):
    """A synthetic job. One of a turn makes transitions for a head and has no scores."""

    syntheticId = serializers.IntegerField()
    jobId = serializers.IntegerField(allow_null=True)
    status = serializers.ChoiceField(choices=JobState.choices)
    progress = serializers.FloatField(min_value=0, max_value=1)
    message = serializers.CharField(allow_blank=True)
    error = serializers.CharField(allow_null=True)
    method = serializers.ChoiceField(choices=tuple(GENERATORS))
    loop = serializers.CharField()
    releaseId = serializers.IntegerField()
    guarantee = serializers.CharField(help_text="Of the release. Synthetic rows keep it, and cost nothing more.")
    source = serializers.ChoiceField(choices=SyntheticSource.choices)
    head = serializers.CharField(allow_null=True, help_text="Null: a table that was asked for.")
    sampleCount = serializers.IntegerField()
    sourceDataCount = serializers.IntegerField(allow_null=True)
    sourceRows = serializers.IntegerField(allow_null=True, help_text="Rows of the source that were used.")
    qualityThreshold = nullable_number()
    seed = serializers.IntegerField()
    accepted = serializers.BooleanField(
        allow_null=True, help_text="False: a score is below its bar, and no rows were kept. Null: not judged."
    )
    quality = nullable_number()
    diversity = nullable_number()
    privacy = nullable_number()
    lowData = serializers.BooleanField(allow_null=True, help_text="True: too few rows to judge them well.")
    parts = ScorePartAnswer(many=True)
    failures = ScoreFailureAnswer(many=True)
    alarms = serializers.ListField(child=serializers.CharField())
    rows = serializers.IntegerField(help_text="Rows in the training pool.")
    notes = serializers.ListField(child=serializers.CharField())
    createdAt = serializers.DateTimeField()
    finishedAt = serializers.DateTimeField(allow_null=True)
    expiresAt = serializers.DateTimeField(allow_null=True)
    reportUrl = serializers.CharField(allow_null=True)
    rowsUrl = serializers.CharField(allow_null=True)


def synthetic_answer(job: SyntheticJob) -> Answer:
    """Build a synthetic job. None of its keys is a name from a loop file: columns are named in values alone."""
    facts: Answer = camel_keys(synthetic_summary(job))
    address = synthetic_url(job)
    return facts | {
        "reportUrl": f"{address}/report" if report_is_kept(job) else None,
        "rowsUrl": f"{address}/rows" if rows_are_kept(job) else None,
    }


def synthetic_url(job: SyntheticJob) -> str:
    """Return the address of a synthetic job."""
    return f"/api/v1/training/synthetic/{job.pk}"


class SyntheticPageAnswer(PageAnswer):
    results = SyntheticAnswer(many=True)
