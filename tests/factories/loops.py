"""Loops of the tests: those that come with the project, in memory or in the database, and small ones of given features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from loops.engine.spec import Feature, LoopSpec
from loops.models import Loop, LoopVersion
from tests.factories.builtin_loops import FOLDER, builtin
from tests.factories.diary import diary

SOURCE = (FOLDER / "r3al.toml").read_text(encoding="utf-8")


POPULATION = builtin("r3al").population


def loop_version(name: str = "loop", version: int = 1, *, source: str = SOURCE) -> LoopVersion:
    """A version of a loop in the database, with the text of the r3al loop unless another is given."""
    loop, _ = Loop.objects.get_or_create(name=name)
    return LoopVersion.objects.create(loop=loop, version=version, source=source, sha256=f"{name}-{version}")


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
