"""Write a simulated cohort as an app's file of logged decisions."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TextIO

import numpy as np

from core.csv_output import CsvWriter
from loops.engine.spec import LoopSpec
from simulator.cohort import Cohort
from simulator.people import POINTS_A_DAY

_HOURS = (8, 12, 17, 21)  # local hour of each daypart
_COMPONENTS = ("sentiment_gain", "engagement_delta", "compliance", "empathy", "timing", "uptake")


def write_csv(cohort: Cohort, spec: LoopSpec, file: TextIO, *, start: date, user_prefix: str) -> int:
    """Write one row per decision point, sorted by person and time. Missing values are empty cells.

    Returns: the number of rows.
    """
    heads = [h.name for h in spec.heads]
    writer = CsvWriter(file)
    writer.writerow(
        ["user_id", "decided_at", *spec.feature_names, "available", "explored"]
        + [f"{h}_{part}" for h in heads for part in ("action", "prob")]
        + [*_COMPONENTS, "reward", "label"]
    )
    people, points = int(cohort.reward.shape[0]), int(cohort.reward.shape[1])
    for person in range(people):
        writer.writerows(_row(cohort, spec, person, t, start, user_prefix) for t in range(points))
    return people * points


def _row(cohort: Cohort, spec: LoopSpec, person: int, t: int, start: date, prefix: str) -> list[object]:
    hour = datetime.combine(start + timedelta(days=t // POINTS_A_DAY), datetime.min.time()) + timedelta(
        hours=_HOURS[t % POINTS_A_DAY], minutes=(person * 7 + t * 13) % 50
    )
    state = [
        f.categories[int(v)] if f.is_category else f"{v:.6g}"
        for f, v in zip(spec.features, cohort.state[person, t], strict=True)
    ]
    row: list[object] = [f"{prefix}-{person}", hour.isoformat(), *state, int(cohort.available[person, t]), 1]
    for head in spec.heads:
        action = int(cohort.actions[head.name][person, t])
        row += ["", ""] if action < 0 else [head.actions[action], f"{cohort.propensities[head.name][person, t]:g}"]
    row += ["" if np.isnan(c) else f"{c:.6g}" for c in cohort.components[person, t]]
    return [*row, f"{cohort.reward[person, t]:.6g}", cohort.label_names[cohort.label[person, t]]]
