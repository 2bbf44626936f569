"""A small loop with one of everything that a file can hold, for the tests of reading files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from loops.engine.spec import Feature, Head, ImportHead, ImportMap, LoopSpec, Reward

COLUMNS = (
    "who", "at", "mood", "place", "gap", "free", "explored", "did", "p", "when", "when_p", "felt", "answer", "gone"
)  # fmt: skip


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
