"""A small loop with one of everything that a file can hold: its record, its version in the database, rows and files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from loops.engine.spec import Feature, Head, ImportHead, ImportMap, LoopSpec, Reward
from loops.models import Loop, LoopVersion

COLUMNS = (
    "who", "at", "mood", "place", "gap", "free", "explored", "did", "p", "when", "when_p", "felt", "answer", "gone"
)  # fmt: skip
FIRST = datetime.fromisoformat("2024-05-01T09:00")


def diary(**imports: Any) -> LoopSpec:
    """The loop; keyword arguments replace parts of its import section."""
    spec = LoopSpec(
        name="diary",
        version=1,
        title="Diary",
        population="diary",
        decisions_per_day=2,
        features=(
            Feature("mood", "learned", bounds=(-1.0, 1.0), scale=0.2),
            Feature("place", "drift", categories=("home", "work")),
            Feature("gap", "since_intervention", bounds=(0.0, 1.0), step=0.25),
        ),
        heads=(
            Head("policy", ("wait", "speak"), "wait", (0.6, 0.4)),
            Head("timing", ("now", "later"), "now", (0.5, 0.5), when="intervening"),
        ),
        reward=Reward(scale=1.0, harmful_labels=("bad", "Not Now")),
        imports=ImportMap(
            user="who",
            key=("who", "at"),
            time="at",
            features={"mood": "mood", "place": "place", "gap": "gap"},
            heads={"policy": ImportHead("did", "p"), "timing": ImportHead("when", "when_p")},
            reward={"total": "felt"},
            available="free",
            explored="explored",
            label="answer",
            left="gone",
            actions={"policy": {"0": "wait", "1": "speak"}},
            categories={"place": {"office": "work"}},
        ),
    )
    return replace(spec, imports=replace(spec.imports, **imports))


def row(**cells: str) -> dict[str, str]:
    """A good row; keyword arguments replace cells."""
    values = (
        "ann", "2024-05-31T16:30", "0.5", "home", "0.25", "1", "1", "speak", "0.4", "now", "0.5", "1.5", "good", ""
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True)) | cells


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
