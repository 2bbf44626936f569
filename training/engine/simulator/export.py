"""A cohort as the file of logged decisions that an app would hand over."""

from __future__ import annotations

import csv
from datetime import date, datetime, time, timedelta
from typing import TextIO

import numpy as np

from loops.engine.reward import COMPONENTS
from loops.engine.spec import LoopSpec
from training.engine.simulator.cohort import Cohort


def write_csv(cohort: Cohort, spec: LoopSpec, file: TextIO, *, start: date, user_prefix: str) -> int:
    """One row a decision point, in order of person and time; returns the number of rows.

    Columns: user_id, decided_at (local time), features by name (a category as its text), available, explored,
    <head>_action and <head>_prob, the reward's components, reward, label. What does not apply is empty.
    """
    writer = csv.writer(file, lineterminator="\n")
    features, heads = [f.name for f in spec.features], [h.name for h in spec.heads]
    chosen = [f"{h}_{what}" for h in heads for what in ("action", "prob")]
    writer.writerow(
        ["user_id", "decided_at", *features, "available", "explored", *chosen, *COMPONENTS, "reward", "label"]
    )
    people, points = cohort.available.shape
    for person in range(people):
        days = np.arange(points) // spec.decisions_per_day
        writer.writerows(
            zip(
                [f"{user_prefix}-{person:06d}"] * points,
                [_moment(start, int(d), int(m)) for d, m in zip(days, cohort.minute[person], strict=True)],
                *_features(cohort, spec, person),
                cohort.available[person].tolist(),
                cohort.explored[person].tolist(),
                *_choices(cohort, spec, person),
                *([_number(v) for v in cohort.components[person, :, c]] for c in range(len(COMPONENTS))),
                [_number(v) for v in cohort.reward[person]],
                [cohort.label_names[code] for code in cohort.label[person]],
                strict=True,
            )
        )
    return people * points


def _moment(start: date, day: int, minute: int) -> str:
    return (datetime.combine(start, time()) + timedelta(days=day, minutes=minute)).isoformat()


def _features(cohort: Cohort, spec: LoopSpec, person: int) -> list[list[str]]:
    columns = []
    for i, feature in enumerate(spec.features):
        values = cohort.states[person, :, i]
        columns.append([feature.categories[int(v)] if feature.is_category else _number(v) for v in values])
    return columns


def _choices(cohort: Cohort, spec: LoopSpec, person: int) -> list[list[str]]:
    columns = []
    for head in spec.heads:
        columns.append([head.actions[a] if a >= 0 else "" for a in cohort.actions[head.name][person]])
        columns.append([_number(p) for p in cohort.propensities[head.name][person]])
    return columns


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.8g}"
