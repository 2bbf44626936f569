"""``manage.py calibration``: compare what gates promised with what people then lived."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from core.html_format import number_text
from core.json_safe import json_safe
from loops.selectors import loop_version_current
from privacy.engine.dp.coarse_counts import two_digits
from training.engine.calibration import CalibrationSummary, IntervalEstimate
from training.models import TRIAL_GATE
from training.selectors.calibration import CalibrationRow, CalibrationTable, calibration_of

_NOTHING = "No gate has estimated anything yet that people could live"


class Command(BaseCommand):
    help = "Show the gates' intervals of every version beside what people then lived, and how often gates were right."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", metavar="NAME", help="only this loop (default: all loops)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["loop"] is not None:
            _check_loop_name(options["loop"])
        table = calibration_of(options["loop"])
        self.stdout.write(json.dumps(_as_json(table)) if options["json"] else _as_text(table))


def _check_loop_name(loop: str) -> None:
    try:
        loop_version_current(loop)
    except R3alError as error:
        raise CommandError(str(error)) from None


def _as_text(table: CalibrationTable) -> str:
    """Return a table for people: one line a metric and version, then the summaries. Rewards are in each loop's units."""
    if not table.rows:
        return _NOTHING
    lines = [("version", "metric", "gate", "estimated", "lived", "result"), *map(_cells, table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*text, "", *_by_metric(table), *_tendency(table.overall), table.overall.sentence])


def _cells(row: CalibrationRow) -> tuple[str, ...]:
    compared = row.comparison
    name = f"{row.version.loop_version.loop.name}/{row.version.head} {row.version.name}"
    gate = row.gate_source.replace("_", " ")
    return name, _spaced(compared.metric), gate, _interval(compared.gate), _lived(row), compared.state


def _lived(row: CalibrationRow) -> str:
    if row.comparison.lived is None:
        return ""
    people = "" if row.users is None else f", about {two_digits(round(row.users)):,} people"
    return _interval(row.comparison.lived) + people + (" of the trial" if row.lived_source == TRIAL_GATE else "")


def _interval(found: IntervalEstimate) -> str:
    if not found.bounded:
        return number_text(found.value)
    return f"{number_text(found.value)} ({number_text(found.low)} to {number_text(found.high)})"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _by_metric(table: CalibrationTable) -> list[str]:
    """Return one line for each gate and metric, unless there is only one."""
    groups = [(group, found) for group, found in table.by_metric.items() if found.intervals]
    if len(groups) < 2:
        return []
    return [f"{_spaced(metric)}, {_spaced(source)}: {found.sentence}" for (source, metric), found in groups]


def _tendency(found: CalibrationSummary) -> list[str]:
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


def _as_json(table: CalibrationTable) -> dict[str, Any]:
    groups = [
        {"gate_source": source, "metric": metric} | _summary(found)
        for (source, metric), found in table.by_metric.items()
    ]
    return {"summary": _summary(table.overall), "by_metric": groups, "rows": [_row(row) for row in table.rows]}


def _summary(found: CalibrationSummary) -> dict[str, Any]:
    return asdict(found) | {"tendency": found.tendency, "sentence": found.sentence}


def _row(row: CalibrationRow) -> dict[str, Any]:
    compared = row.comparison
    facts = {
        "version": row.version.name, "loop": row.version.loop_version.loop.name, "head": row.version.head,
        "gate_source": row.gate_source, "lived_source": row.lived_source,
        "users": None if row.users is None else two_digits(round(row.users)),
        "state": compared.state, "overlaps": compared.overlaps, "held": compared.held, "shortfall": compared.shortfall,
    }  # fmt: skip
    return {**facts, **json_safe(asdict(compared))}
