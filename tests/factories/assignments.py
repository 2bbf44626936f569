"""Logged rows with states, as the check of propensities reads them: drawn with right or wrong propensities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from loops.engine.rows.assignment_check import AssignmentSums
from loops.engine.rows.choices import LoggedChoice
from loops.engine.rows.region_axes import RegionAxis, region_axes
from loops.engine.spec import Feature, Head, LoopSpec
from tests.factories.diary import diary

HEAD = Head("policy", ("wait", "send"), "wait", (0.7, 0.3))
FEATURES = (
    Feature("need", "learned", bounds=(0.0, 1.0)),
    Feature("steps", "learned", bounds=(0.0, 1_000.0)),
    Feature("place", "drift", categories=("home", "work", "out")),
)
Truth = Callable[[Mapping[str, str], int], float]  # of a row's cells and person: the true probability of "send"


def spec_with(features: Sequence[Feature] = FEATURES, missing: Mapping[str, float | str] | None = None) -> LoopSpec:
    base = diary()
    imports = replace(base.imports, features={}, missing=dict(missing) if missing else "drop")
    return replace(base, features=tuple(features), imports=imports)


def axes(spec: LoopSpec | None = None) -> list[RegionAxis]:
    return region_axes(spec or spec_with(), lambda f: f.name, ())


def logged_choice(action: int, probabilities: Sequence[float], *, explored: bool = True) -> LoggedChoice:
    p = float(probabilities[action])
    return LoggedChoice(action, p, p, explored, tuple(map(float, probabilities)))


def logged_sums(
    truth: Truth,
    *,
    logged: float = 0.3,
    rows: Sequence[int] = (20,) * 200,
    draws: str = "row",
    seed: int = 1,
    head: Head = HEAD,
) -> AssignmentSums:
    """Draw "send" with a true probability, log ``logged``. ``draws``: once a "row", a "day" of four rows, or a "person"."""
    rng = np.random.default_rng(seed)
    sums = AssignmentSums([head], axes(), explored=False)
    for person, count in enumerate(rows):
        u = rng.random()
        for t in range(count):
            if draws == "row" or (draws == "day" and t % 4 == 0):
                u = rng.random()
            cells = {
                "need": f"{rng.random():.3f}", "steps": f"{rng.exponential(30):.1f}",
                "place": ("home", "work", "out")[int(rng.choice(3, p=(0.6, 0.3, 0.1)))],
            }  # fmt: skip
            choice = logged_choice(int(u < truth(cells, person)), (1 - logged, logged))
            sums.add(f"u{person}", {head.name: choice}, cells, even=(t // 4) % 2 == 0)
    return sums
