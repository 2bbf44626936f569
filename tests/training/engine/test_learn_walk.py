"""Learning reads straight on: rollouts and the world model are each entered from two places at most."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from loops.engine.policies.linear import LinearPolicy
from tests.call_walks import Walk, walking
from tests.factories.worlds import taught
from training.engine.pipeline import train_policy_head


@pytest.fixture(scope="module", params=["first", "later"])
def walk(request: pytest.FixtureRequest) -> Iterator[Walk]:
    """One run of learning: a first one, and one that has something learned to beat."""
    made = taught()
    weights = made.effects.mean[0, :, 0]
    serving = LinearPolicy(made.moments.layout.phi, np.stack([weights * 0.0, weights]), 0.0, 0)
    incumbents = {} if request.param == "first" else {"policy": serving}
    with walking() as walk:
        train_policy_head(made.spec, made.moments, made.baseline, made.pool.rows(), seed=5, incumbents=incumbents)
    yield walk


@pytest.mark.parametrize("file", ["training/engine/world/simulated_returns.py", "training/engine/world/world.py"])
def test_control_enters_from_two_places_at_most(walk: Walk, file: str) -> None:
    """Counted are distinct call sites in other files during one run. A loop is one place: a rollout steps a hundred times through
    the world, and every policy of a comparison is rolled by one call.
    """
    assert 1 <= len(walk.sites(file)) <= 2


def test_rollouts_are_asked_for_a_comparison_at_a_time(walk: Walk) -> None:
    """Candidates, steps towards one of them, the gate, the cost of logging; and the values of what is to be beaten."""
    assert walk.entries["training/engine/world/simulated_returns.py"] <= 5
