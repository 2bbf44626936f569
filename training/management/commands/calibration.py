"""``manage.py calibration``: compare what gates promised with what people then lived."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import R3alError
from core.json_safe import json_safe
from loops.selectors import loop_version_current
from privacy.engine.dp.coarse_counts import two_digits
from training.engine.calibration import CalibrationSummary
from training.selectors.calibration import CalibrationRow, CalibrationTable, calibration_of
from training.selectors.calibration_words import (
    interval_words,
    lived_words,
    spaced,
    summaries_by_metric,
    tendency_words,
)

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
    return "\n".join([*text, "", *summaries_by_metric(table), *tendency_words(table.overall), table.overall.sentence])


def _cells(row: CalibrationRow) -> tuple[str, ...]:
    compared = row.comparison
    name = f"{row.version.loop_version.loop.name}/{row.version.head} {row.version.name}"
    gate = row.gate_source.replace("_", " ")
    return name, spaced(compared.metric), gate, interval_words(compared.gate), lived_words(row), compared.state


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
