"""Put a comparison of gates with what was lived into words, for the command and the page."""

from __future__ import annotations

from core.html_format import number_text
from privacy.engine.dp.coarse_counts import two_digits
from training.engine.calibration import CalibrationSummary, IntervalEstimate
from training.models import TRIAL_GATE
from training.selectors.calibration import CalibrationRow, CalibrationTable


def lived_words(row: CalibrationRow) -> str:
    """Return what people lived, with about how many they were. Empty if nobody did."""
    if row.comparison.lived is None:
        return ""
    people = "" if row.users is None else f", about {two_digits(round(row.users)):,} people"
    return interval_words(row.comparison.lived) + people + (" of the trial" if row.lived_source == TRIAL_GATE else "")


def interval_words(found: IntervalEstimate) -> str:
    """Return an estimate with its interval, in the metric's unit."""
    if not found.bounded:
        return number_text(found.value)
    return f"{number_text(found.value)} ({number_text(found.low)} to {number_text(found.high)})"


def spaced(name: str) -> str:
    """Return the name of a metric or of a gate in words."""
    return name.replace("_", " ")


def summaries_by_metric(table: CalibrationTable) -> list[str]:
    """Return one line for each gate and metric, unless there is only one."""
    groups = [(group, found) for group, found in table.by_metric.items() if found.intervals]
    if len(groups) < 2:
        return []
    return [f"{spaced(metric)}, {spaced(source)}: {found.sentence}" for (source, metric), found in groups]


def tendency_words(found: CalibrationSummary) -> list[str]:
    """Return how often lived values were worse than estimated, and by how much on average."""
    if found.mean_shortfall is None:
        return []
    side = "worse" if found.mean_shortfall > 0 else "better"
    shown = {
        "optimistic": "the gates promise too much", "pessimistic": "the gates promise too little",
    }.get(found.tendency, found.tendency)  # fmt: skip
    return [
        f"{found.worse} of {found.intervals} lived values were worse than estimated, on average "
        f"{abs(found.mean_shortfall):.2g} half-widths {side}: {shown}"
    ]
