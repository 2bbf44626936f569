"""Points: bit for bit what Timeline computes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from math import nan

import numpy as np
import pytest

from loops.engine.spec import Feature, LoopSpec
from loops.engine.state.history import StateHistory
from loops.engine.state.scalar import ScalarDynamics
from tests.loops.engine.specs import builtin, of_features

START = datetime(2025, 6, 1, 3, tzinfo=UTC)
MIXED = of_features(
    Feature("mood", "learned", bounds=(-1.0, 1.0), scale=0.2),
    Feature("gap", "since_intervention", bounds=(-3.0, 4.0)),
    Feature("load", "recent_load", bounds=(2.0, 9.0), decay=0.37),
    Feature("turn", "clock", bounds=(0.0, 7.0)),
    Feature("round", "clock", categories=("a", "b", "c")),
    Feature("part", "clock", categories=("a", "b", "c", "d", "e")),
    per_day=5,
)


@pytest.mark.parametrize("spec", [builtin("r3al"), builtin("heartsteps"), MIXED], ids=lambda spec: spec.name)
def test_a_walk_is_timelines_bit_for_bit(spec: LoopSpec) -> None:
    rng, points = np.random.default_rng(3), ScalarDynamics(spec)
    columns = list(spec.features_with("since_intervention", "recent_load", "clock"))
    timeline = StateHistory(spec, columns)
    before: list[float] | None = None
    intervened, day = False, START
    for _ in range(200):
        now = day + timedelta(days=int(rng.random() < 0.2), minutes=int(rng.integers(0, 60)))
        if before is not None:
            timeline.resume(np.array(before), intervened, day.date())
        state = [nan if i in columns else 0.5 for i in range(points.count)]
        points.fill(state, before, intervened=intervened, same_day=now.date() == day.date(), at=now.time())
        assert [state[i] for i in columns] == timeline.step(now, intervened=False).tolist()
        before, intervened, day = state, bool(rng.random() < 0.5), now


def test_what_is_told_is_kept() -> None:
    points = ScalarDynamics(MIXED)
    state = [nan, 0.5, nan, nan, nan, nan]
    points.fill(state, None, intervened=False, same_day=True, at=time(12))
    assert state[1:] == [0.5, 2.0, 0.0, 0.0, 0.0] and state[0] != state[0], "mood is learned: nothing follows for it"
    assert points.index["turn"] == 3 and points.count == 6
