"""Loops for the tests of the feature map, the dynamics and the reward: the one that comes with the project, and small ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from loops.engine.parse.loop import parse_loop
from loops.engine.spec import Feature, LoopSpec
from tests.loops.engine.diary import diary

FOLDER = Path(__file__).resolve().parents[3] / "loops" / "specs"


@cache
def builtin(name: str) -> LoopSpec:
    """A loop that comes with the project."""
    path = FOLDER / f"{name}.toml"
    return parse_loop(path.read_text(encoding="utf-8"), source=path.name)


def of_features(*features: Feature, per_day: int = 4) -> LoopSpec:
    """A loop with these features."""
    return replace(diary(), features=features, decisions_per_day=per_day)


def states_of(spec: LoopSpec, n: int, seed: int = 1) -> np.ndarray:
    """(n, F) states drawn uniformly within the bounds and categories."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.integers(len(f.categories), size=n).astype(float) if f.is_category else rng.uniform(*f.range, size=n)
        for f in spec.features
    ]
    return np.stack(columns, axis=1)


def bounds() -> st.SearchStrategy[tuple[float, float]]:
    """Ordinary public bounds."""
    return st.tuples(st.floats(-1e3, 1e3), st.floats(1e-2, 1e3)).map(lambda p: (p[0], p[0] + p[1]))
