"""Write a month of a world as the file of logged decisions that its loop imports."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.worlds.month import Month
from benchmarks.worlds.protocol import World
from loops.engine.spec import Feature

FIRST_DAY = datetime(2025, 3, 3, 8, tzinfo=UTC)
_BETWEEN = timedelta(hours=3)
_LABELS = {1: "dismissed", 0: "accepted", -1: ""}


def write_csv(world: World, month: Month, path: Path, *, first_day: datetime = FIRST_DAY) -> int:
    """Write one row for each point at which the person was present. Returns the number of rows."""
    head = ["who", "at", "available", *world.spec.feature_names, "did", "p", "felt", "rating", "answer", "left"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        rows = 0
        for row in _rows(world, month, first_day):
            writer.writerow(row)
            rows += 1
    return rows


def _rows(world: World, month: Month, first_day: datetime) -> Iterator[list[str]]:
    spec, (people, points) = world.spec, month.present.shape
    times = [
        (first_day + timedelta(days=t // spec.decisions_per_day) + _BETWEEN * (t % spec.decisions_per_day)).isoformat()
        for t in range(points)
    ]
    for person in range(people):
        for t in np.flatnonzero(month.present[person]):
            cells = [_cell(f, v) for f, v in zip(spec.features, month.state[person, t], strict=True)]
            available, rating = bool(month.available[person, t]), month.empathy[person, t]
            yield [
                f"u{person}", times[t], str(int(available)), *cells,
                spec.main_head.actions[month.action[person, t]],
                f"{month.marginal[person, t]:.6g}" if available else "",
                f"{month.reward[person, t]:.6g}",
                f"{rating:.4g}" if np.isfinite(rating) else "",
                _LABELS[int(month.harmful[person, t])] if available else "",
                str(int(month.dropped_out[person, t])),
            ]  # fmt: skip


def _cell(feature: Feature, value: float) -> str:
    return feature.categories[int(value)] if feature.is_category else f"{value:.6g}"
