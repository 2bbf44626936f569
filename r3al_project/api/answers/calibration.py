"""Build the answer that compares gates with what people then lived."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import get_args

from rest_framework import serializers

from privacy.engine.dp.coarse_counts import two_digits
from r3al_project.api.answers.shape import Answer, PageAnswer, Shape, nullable_number, page_answer
from training.engine.calibration import CalibrationSummary, ComparisonState, IntervalEstimate, Tendency
from training.models import LIVED, OUTCOME_GATE, TRIAL_GATE
from training.selectors.calibration import LIVED_METRICS, CalibrationRow, CalibrationTable

GATE_SOURCES = (OUTCOME_GATE, TRIAL_GATE)


class GateEstimateAnswer(Shape):
    """A gate's estimate with its interval: shares between 0 and 1, rewards in the loop's units."""

    source = serializers.ChoiceField(choices=GATE_SOURCES)
    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class LivedAnswer(Shape):
    """What people lived under the version, in the units of the gate's estimate. A bound is null where nothing is known."""

    source = serializers.ChoiceField(
        choices=(LIVED, TRIAL_GATE), help_text="lived: health checks of the deployed version. trial: people on trial."
    )
    value = serializers.FloatField()
    low = nullable_number()
    high = nullable_number()
    users = serializers.IntegerField(allow_null=True, help_text="About how many people, rounded to two digits.")


class CalibrationRowAnswer(Shape):
    versionId = serializers.CharField()
    loop = serializers.CharField()
    modelType = serializers.CharField()
    metric = serializers.ChoiceField(choices=LIVED_METRICS)
    gate = GateEstimateAnswer()
    lived = LivedAnswer(allow_null=True, help_text="Null: too few people have lived under the version, or nobody.")
    state = serializers.ChoiceField(
        choices=get_args(ComparisonState),
        help_text="held: the lived value lies in the gate's interval. missed: it does not, but the intervals overlap. "
        "contradicted: they do not overlap. too early: the lived interval excludes nothing.",
    )
    overlaps = serializers.BooleanField(allow_null=True, help_text="Whether the two intervals overlap.")
    held = serializers.BooleanField(allow_null=True, help_text="Whether the lived value lies in the gate's interval.")
    shortfall = nullable_number(
        help_text="How much worse than estimated was lived, in half-widths of the gate's interval. Negative: better."
    )


def calibration_row_answer(row: CalibrationRow) -> Answer:
    """Build one metric of one version: the gate's estimate, and what was lived."""
    version, compared = row.version, row.comparison
    return {
        "versionId": version.name, "loop": version.loop_version.loop.name, "modelType": version.head,
        "metric": compared.metric, "gate": {"source": row.gate_source} | _estimate(compared.gate), "lived": _lived(row),
        "state": compared.state, "overlaps": compared.overlaps, "held": compared.held, "shortfall": compared.shortfall,
    }  # fmt: skip


def _lived(row: CalibrationRow) -> Answer | None:
    if row.comparison.lived is None:
        return None
    users = None if row.users is None else two_digits(round(row.users))
    return {"source": row.lived_source} | _estimate(row.comparison.lived) | {"users": users}


def _estimate(found: IntervalEstimate) -> Answer:
    ends = {"low": found.low, "high": found.high}
    return {"value": found.value} | {name: end if math.isfinite(end) else None for name, end in ends.items()}


class CalibrationSummaryAnswer(Shape):
    """How often gates were right. A range is exact at 95%, and its ends are null below five intervals."""

    intervals = serializers.IntegerField(help_text="How many intervals could be compared with what was lived.")
    held = serializers.IntegerField()
    heldLow = nullable_number()
    heldHigh = nullable_number()
    contradicted = serializers.IntegerField()
    worse = serializers.IntegerField(help_text="How many lived values were worse than estimated.")
    worseLow = nullable_number()
    worseHigh = nullable_number()
    meanShortfall = nullable_number(help_text="In half-widths. Positive: gates promised more than was lived.")
    tendency = serializers.ChoiceField(choices=get_args(Tendency))
    sentence = serializers.CharField(help_text="For example: 7 of 8 intervals held (47% to 100%)")


def calibration_summary_answer(found: CalibrationSummary) -> Answer:
    """Build the summary of comparisons."""
    held, worse = found.held_range or (None, None), found.worse_range or (None, None)
    return {
        "intervals": found.intervals, "held": found.held, "heldLow": held[0], "heldHigh": held[1],
        "contradicted": found.contradicted, "worse": found.worse, "worseLow": worse[0], "worseHigh": worse[1],
        "meanShortfall": found.mean_shortfall, "tendency": found.tendency, "sentence": found.sentence,
    }  # fmt: skip


class MetricCalibrationAnswer(CalibrationSummaryAnswer):
    """The summary of one metric of one gate, in which each version counts once."""

    source = serializers.ChoiceField(choices=GATE_SOURCES)
    metric = serializers.ChoiceField(choices=LIVED_METRICS)


class CalibrationAnswer(PageAnswer):
    """A page of comparisons, newest version first. The summaries are about all pages."""

    summary = CalibrationSummaryAnswer()
    byMetric = MetricCalibrationAnswer(many=True)
    results = CalibrationRowAnswer(many=True)


def calibration_answer(next_page: str | None, rows: Sequence[CalibrationRow], table: CalibrationTable) -> Answer:
    """Build one page of comparisons with the summaries of the whole table."""
    groups = [
        {"source": source, "metric": metric} | calibration_summary_answer(found)
        for (source, metric), found in table.by_metric.items()
    ]
    page = page_answer(next_page, [calibration_row_answer(row) for row in rows])
    return page | {"summary": calibration_summary_answer(table.overall), "byMetric": groups}
