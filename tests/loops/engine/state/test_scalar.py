"""Points: bit for bit what Timeline computes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from math import nan

import numpy as np
import pytest

from loops.engine.parse.loop import parse_loop
from loops.engine.spec import Feature, LoopSpec
from loops.engine.state.dynamics import ARRAYS, SCALARS, advance_known, step_of
from loops.engine.state.history import StateHistory
from loops.engine.state.scalar import ScalarDynamics
from tests.factories.builtin_loops import FOLDER, builtin
from tests.factories.loops import of_features, states_of

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


def test_one_number_moves_as_an_array_of_them_does_whatever_the_loop_declares() -> None:
    """Drawn loops, every dynamic, on and beside their bounds."""
    rng = np.random.default_rng(5)
    for _ in range(300):
        low = float(rng.normal() * 10.0 ** rng.integers(-3, 4))
        bounds = (low, low + float(rng.exponential() * 10.0 ** rng.integers(-3, 4)) + 1e-3)
        declared = {"step": float(rng.exponential()), "decay": float(rng.random())} if rng.random() < 0.5 else {}
        features = (
            Feature("gap", "since_intervention", bounds=bounds, step=declared.get("step")),
            Feature("load", "recent_load", bounds=bounds, decay=declared.get("decay")),
            Feature("turn", "clock", bounds=bounds),
            Feature("round", "clock", categories=tuple("abcdef"[: rng.integers(2, 7)])),
        )
        spec = of_features(*features, per_day=int(rng.integers(1, 1_441)))
        values = np.concatenate([bounds, rng.uniform(*bounds, size=20), np.nextafter(bounds, 0.0)])
        for feature in features:
            at = rng.integers(len(feature.categories), size=24).astype(float) if feature.is_category else values
            one, many = step_of(spec, feature, SCALARS), step_of(spec, feature, ARRAYS)
            assert one is not None and many is not None
            for did in (True, False):
                assert [one(v, did) for v in at.tolist()] == many(at, np.full(24, did)).tolist()


def test_a_loop_that_declares_nothing_moves_as_its_file_would() -> None:
    """What a file leaves out and what a feature leaves out is one default."""
    text = (FOLDER / "r3al.toml").read_text(encoding="utf-8")
    bare = "\n".join(line for line in text.splitlines() if not line.startswith(("step =", "decay =")))
    parsed = parse_loop(bare, source="bare.toml")
    silent = replace(parsed, features=tuple(replace(f, step=None, decay=None) for f in parsed.features))
    states = states_of(parsed, 50)
    did = np.arange(50) % 2 == 0
    assert (advance_known(parsed, states, did) == advance_known(silent, states, did)).all()
