"""Files of the diary loop (tests.loops.engine.diary), and its version in the database."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from loops.models import Loop, LoopVersion
from tests.loops.engine.diary import COLUMNS, diary, row

FIRST = datetime.fromisoformat("2024-05-01T09:00")


def diary_version(version: int = 1, **imports: Any) -> LoopVersion:
    """A version of the loop with its parsed record already in place."""
    loop, _ = Loop.objects.get_or_create(name="diary")
    kept, _ = LoopVersion.objects.get_or_create(loop=loop, version=version, source="diary", sha256=f"{version}")
    kept.spec = diary(**imports)
    return kept


def points(person: str, count: int, **cells: str) -> list[dict[str, str]]:
    """``count`` rows of one person, two a day, speaking at every third."""
    rows = []
    for i in range(count):
        at = FIRST + timedelta(days=i // 2, hours=8 * (i % 2))
        did, p = ("speak", "0.4") if i % 3 == 0 else ("wait", "0.6")
        mood = f"{(i % 7) / 7 - 0.4:.3f}"
        rows.append(row(who=person, at=at.isoformat(), mood=mood, gap="0.5", did=did, p=p, felt=f"{i / 10:g}") | cells)
    return rows


def write_csv(path: Path, rows: Iterable[Mapping[str, str]], columns: Sequence[str] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path
