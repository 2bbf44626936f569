"""Loops that differ in their heads alone, and what an app would have logged under each.

A suggestion pleases people who have energy, as in ``tests.factories.walks``.
Where the loop has a channel, a voice pleases everybody
and a mail annoys them. The other sub-heads change nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from loops.engine.parse.loop import parse_loop
from loops.engine.spec import LoopSpec
from tests.system import ROOT

SPECS = ROOT / "tests" / "factories" / "specs"
HEADS = {"five_heads": ("channel", "policy", "timing", "wording", "theme"), "policy_alone": ("policy",)}
_FIRST = datetime(2025, 3, 3, 9)
_CHANNEL = {"push": 0.0, "mail": -1.0, "voice": 1.0}


def heads_file(name: str) -> Path:
    """The TOML file of a loop."""
    return SPECS / f"{name}.toml"


def heads_csv(name: str, path: Path, *, people: int = 500, days: int = 5) -> Path:
    """A file of logged decisions: every head drawn from its logging distribution wherever it speaks."""
    spec = parse_loop(heads_file(name).read_text(encoding="utf-8"), source=name)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["who", "at", "energy", "daypart", "felt", *_columns(spec)])
        writer.writeheader()
        writer.writerows(_rows(spec, people, days))
    return path


def _columns(spec: LoopSpec) -> list[str]:
    return [name + end for name in spec.head_names for end in ("", "_p")]


def _rows(spec: LoopSpec, people: int, days: int) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(1)
    for person in range(people):
        for point in range(2 * days):
            day, evening = divmod(point, 2)
            chosen, energy = _chosen(spec, rng), rng.random()
            suggested = chosen["policy"] == "suggest"
            felt = (2 * energy - 0.6) * suggested + _CHANNEL.get(chosen.get("channel", ""), 0.0) + rng.normal(0, 0.3)
            yield {
                "who": f"p{person}", "at": (_FIRST + timedelta(days=day, hours=9 * evening)).isoformat(),
                "energy": f"{energy:.4f}", "daypart": ("morning", "evening")[evening], "felt": f"{felt:.4f}",
                **chosen, **{f"{h.name}_p": h.logging[h.actions.index(chosen[h.name])] for h in spec.heads if h.name in chosen},
            }  # fmt: skip


def _chosen(spec: LoopSpec, rng: np.random.Generator) -> dict[str, str]:
    chosen = {h.name: str(rng.choice(h.actions, p=h.logging)) for h in spec.heads}
    if chosen["policy"] == spec.main_head.reference:
        return {h.name: chosen[h.name] for h in spec.heads if h.when == "always"}
    return chosen
