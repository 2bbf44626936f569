"""Small files as apps and spreadsheets write them, imported by the command: everything is read, or rejected with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from loops.services import loop_add
from privacy.models import Decision, RewardSignal
from tests.factories.sealed import outcome_of

pytestmark = pytest.mark.django_db

LOOP = """
name = "cases"
decisions_per_day = 5
[features.mood]
bounds = [-1, 1]
dynamics = "learned"
[features.place]
categories = ["home", "work", "=1+1", "-2+3"]
dynamics = "drift"
[heads.policy]
actions = ["wait", "ping"]
reference = "wait"
logging = [0.5, 0.5]
[reward]
scale = 0.5
default = 0.0
[import.csv]
user = "user"
time = "time"
reward = {{ total = "reward"{components} }}
{more}
[import.csv.heads.policy]
action = "action"
propensity = "p"
"""
HEADER = "user,time,mood,place,action,p,reward"


def rows(*times: str) -> list[str]:
    return [HEADER, *(f"u1,{time},0.1,home,ping,0.5,0.2" for time in times)]


def many(count: int, **damaged: str) -> list[str]:
    """Rows of twenty people, and those that stand in place of some of them."""
    lines = [HEADER]
    for i in range(count):
        time = f"2024-05-{1 + i % 28:02d}T{i // 28 % 24:02d}:{i % 60:02d}"
        lines.append(f"u{i % 20},{time},0.1,home,{('wait', 'ping')[i // 2 % 2]},0.5,0.2")
    for name, line in damaged.items():
        lines[int(name.removeprefix("line")) - 1] = line
    return lines


@dataclass(frozen=True)
class Case:
    """A file, and what the import says about it."""

    name: str
    lines: Iterable[str]
    rows: int
    rejected: dict[str, int] = field(default_factory=dict)
    more: str = ""
    components: str = ""
    local_days: tuple[str, ...] = ()


CASES = [
    Case(
        "offsets in every spelling, and a comma that splits a time",
        rows(
            "2024-05-01 09:00", "2024-05-01T10:00Z", "2024-05-01T11:00:00+0200", "2024-05-01 12:00:00 +02:00",
            "2024-05-01T13:00z", "2024-05-01T14:00:00,250",
        ),
        rows=6, rejected={"cells": 1},
    ),
    Case(
        "times since 1970 in every unit, one with lost digits",
        rows("1714554000", "1714557600.25", "1714561200000", "1714564800000000", "1.7145684E+09", "1714572000.000"),
        rows=6, rejected={"bad_time": 1},
    ),
    Case(
        "day numbers of a spreadsheet",
        rows("2024-05-01T09:00", "45413.375", "45413"),
        rows=3, rejected={"spreadsheet_time": 2},
    ),
    Case("a first line that names the separator", ["sep=;", *(line.replace(",", ";") for line in rows("2024-05-01"))], rows=1),
    Case(
        "a decimal comma",
        ["user;time;mood;place;action;p;reward", "u1;2024-05-01;-0,1;home;ping;0,5;1,5", "u1;2024-05-02;0.1;home;ping;0,5;1,5"],
        rows=2, rejected={"not_a_number": 1}, more='decimal = ","',
    ),
    Case(
        "one unclosed quote in a large file",
        many(1_000, line11='u0,2024-05-10T9:00,0.1,"home,ping,0.5,0.2'),
        rows=1_000, rejected={"unreadable": 1},
    ),
    Case(
        "two unclosed quotes that close each other",
        many(
            1_000, line11='u0,2024-05-10T9:00,0.1,"home,ping,0.5,0.2', line600='u0,2024-05-10T9:00,0.1,home",ping,0.5,0.2'
        ),
        rows=1_000, rejected={"unreadable": 1, "unknown_category": 1},
    ),
    Case(
        "a NUL character late in a file",
        many(2_000, line1990="u\0,2024-05-01,0.1,home,ping,0.5,0.2"),
        rows=2_000, rejected={"nul_character": 1},
    ),
    Case(
        "a column of time zones",
        [f"{HEADER},tz", *(f"u1,{t},0.1,home,ping,0.5,0.2,{z}" for t, z in (
            ("2024-05-01 23:30", "Europe/Berlin"), ("2024-05-01T23:30Z", "Europe/Berlin"), ("2024-05-01 12:00", "Mars"),
        ))],
        rows=3, rejected={"bad_zone": 1}, more='time_zone = "tz"', local_days=("2024-05-01", "2024-05-02"),
    ),
    Case(
        "names like formulas, one as exported",
        [HEADER, *(f"u1,2024-05-01T0{i}:00,-0.5,{c},wait,0.5,-1" for i, c in enumerate(["=1+1", "'-2+3", "-2+3"]))],
        rows=3,
    ),
]  # fmt: skip


def imported(tmp_path: Path, case: Case) -> dict[str, Any]:
    loop_add(text=LOOP.format(more=case.more, components=case.components), source="cases.toml")
    path = tmp_path / "in.csv"
    path.write_text("\n".join(case.lines) + "\n", encoding="utf-8")
    out = StringIO()
    call_command("import_signals", path, "--loop", "cases", "--json", "--rejects", tmp_path / "r.csv", stdout=out)
    said: dict[str, Any] = json.loads(out.getvalue())
    return said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_row_is_read_or_rejected_with_its_reason(tmp_path: Path, case: Case) -> None:
    said = imported(tmp_path, case)
    assert said["counts"].get("rejected", {}) == case.rejected
    assert said["rows"] == case.rows == said["added"] + said["rejected"] and Decision.objects.count() == said["added"]
    if case.local_days:
        found = Decision.objects.order_by("decided_at").values_list("local_day", flat=True)
        assert tuple(day.isoformat() for day in found) == case.local_days


def test_a_row_with_components_and_no_total_is_composed(tmp_path: Path) -> None:
    lines = [
        f"{HEADER},s,e",
        "u1,2024-05-01T09:00,0.1,home,ping,0.5,0.2,,",
        "u1,2024-05-01T10:00,0.1,home,ping,0.5,,1.5,0.8",
        "u1,2024-05-01T11:00,0.1,home,ping,0.5,,,",
    ]
    case = Case("composed", lines, rows=3, components=', sentiment = "s", engagement = "e"')
    said = imported(tmp_path, case)
    totals = [outcome_of(r)[0] for r in RewardSignal.objects.order_by("decision__decided_at")]
    assert totals == pytest.approx([0.2, 0.4 * 1.5 + 0.4 * 0.8, 0.0])
    assert said["counts"]["composed"] == said["counts"]["filled"] == {"reward": 1}
