"""Read, for every version, the intervals of its gates beside what people then lived, and summarise how often gates were right.

Both sides have the same units: rewards in the loop's units, shares in [0, 1].

- A gate's side is the outcome gate's interval, and a trial's where there was one. An interval that excludes nothing is no
  claim. Neither is one of a log that hardly tried what the version does.
- Lived is what the health checks wrote down since the version's last deployment. Without it, a trial's result is
  what was lived after the outcome gate.

Compared are metrics that gates and health measure alike. A gate's drift is that of the log, and a sub-head's difference is spread
over decisions without its choice. Both are left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.engine.calibration import CalibrationSummary, GateComparison, IntervalEstimate, summarise_calibration
from training.models import LIVED, OUTCOME_GATE, TRIAL_GATE, ModelMetric, ModelVersion

LIVED_METRICS = ("improvement", "empathy", "false_intervention", "silence")
_CLAIMS = (OUTCOME_GATE, TRIAL_GATE)


@dataclass(frozen=True)
class CalibrationRow:
    """Hold one metric of one version: which gate estimated it, and where the lived value comes from.

    ``lived_source``: "" if nothing was lived. ``users``: about how many people lived it.
    """

    version: ModelVersion
    gate_source: str
    lived_source: str
    users: float | None
    comparison: GateComparison


@dataclass(frozen=True)
class CalibrationTable:
    """Hold all rows, newest version first, and the summaries of all rows and of each gate and metric.

    In a summary of one gate and metric, each version counts once, so that its ranges are exact.
    """

    rows: tuple[CalibrationRow, ...]
    overall: CalibrationSummary
    by_metric: Mapping[tuple[str, str], CalibrationSummary]


def calibration_of(loop: str | None = None) -> CalibrationTable:
    """Compare the gates of one loop, or of all loops, with what was lived."""
    found = ModelMetric.objects.filter(source__in=(*_CLAIMS, LIVED), name__in=(*LIVED_METRICS, "support"))
    if loop:
        found = found.filter(version__loop_version__loop__name=loop)
    versions: dict[int, list[ModelMetric]] = defaultdict(list)
    found = found.select_related("version__loop_version__loop").defer("version__weights")
    for metric in found.order_by("-version", "id"):
        versions[metric.version_id].append(metric)
    rows = tuple(row for metrics in versions.values() for row in _rows(metrics))
    return CalibrationTable(rows, summarise_calibration([row.comparison for row in rows]), _by_metric(rows))


def _by_metric(rows: Sequence[CalibrationRow]) -> dict[tuple[str, str], CalibrationSummary]:
    groups: dict[tuple[str, str], list[GateComparison]] = defaultdict(list)
    for row in rows:
        groups[row.gate_source, row.comparison.metric].append(row.comparison)
    return {group: summarise_calibration(groups[group]) for group in sorted(groups)}


def _rows(metrics: Sequence[ModelMetric]) -> list[CalibrationRow]:
    """Return the rows of one version, from its metrics of all sources."""
    known = {(metric.source, metric.name): metric for metric in metrics}
    claims = [known[source, name] for source in _CLAIMS for name in LIVED_METRICS if (source, name) in known]
    return [_row(claim, estimate, known) for claim in claims if (estimate := _claimed(claim, known)) is not None]


def _claimed(claim: ModelMetric, known: Mapping[tuple[str, str], ModelMetric]) -> IntervalEstimate | None:
    """Return a gate's estimate, or None if its gate could not tell."""
    support = known.get((claim.source, "support"))
    unsupported = support is not None and support.verdict != "pass"
    estimate = _estimate(claim)
    if unsupported or not _readable(claim) or estimate is None:
        return None
    return estimate if estimate.bounded and estimate.low < estimate.high else None


def _row(
    claim: ModelMetric, estimate: IntervalEstimate, known: Mapping[tuple[str, str], ModelMetric]
) -> CalibrationRow:
    lived = known.get((LIVED, claim.name))
    if lived is None and claim.source != TRIAL_GATE:
        trial = known.get((TRIAL_GATE, claim.name))
        lived = trial if trial is not None and _readable(trial) else None
    comparison = GateComparison(claim.name, estimate, _estimate(lived) if lived is not None else None)
    if lived is None or comparison.lived is None:
        return CalibrationRow(claim.version, claim.source, "", None, comparison)
    return CalibrationRow(claim.version, claim.source, lived.source, lived.users, comparison)


def _readable(metric: ModelMetric) -> bool:
    """Tell whether a metric could be read. A trial that could not, names no number of people who would decide it."""
    return metric.source != TRIAL_GATE or metric.verdict != "insufficient" or metric.needed_users is not None


def _estimate(metric: ModelMetric) -> IntervalEstimate | None:
    """Return a stored metric. Its interval is unbounded where it excludes nothing. None without a value."""
    if metric.value is None:
        return None
    low = -math.inf if metric.low is None or metric.too_few else metric.low
    high = math.inf if metric.high is None or metric.too_few else metric.high
    return IntervalEstimate(metric.value, low, high)
