"""Whether two policies act alike, by their choices."""

from __future__ import annotations

import numpy as np
import pytest

from loops.engine.policies.linear import LinearPolicy
from tests.factories.worlds import taught
from training.engine.gates.resemblance import agreement

PHI = taught().moments.layout.phi
STATES = taught().pool.state


def _policy(effect: list[float], scale: float = 1.0) -> LinearPolicy:
    """Speaks where effect . (1, mood, energy) is above 0."""
    return LinearPolicy(PHI, scale * np.vstack([np.zeros(3), effect]), 0.0, 0)


ALWAYS, NEVER = [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]
HIGH, LOW = [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]


def test_weights_and_names_do_not_matter() -> None:
    assert agreement(_policy(HIGH), _policy(HIGH, scale=7.0), STATES) == 1.0


def test_opposites_never_agree() -> None:
    assert agreement(_policy(HIGH), _policy(LOW), STATES) == 0.0
    assert agreement(_policy(ALWAYS), _policy(NEVER), STATES) == 0.0


def test_states_in_which_neither_intervenes_say_nothing() -> None:
    rare = _policy([-0.5, 1.0, 0.0]).actions(STATES) != 0
    assert rare.mean() < 0.3
    assert agreement(_policy([-0.5, 1.0, 0.0]), _policy(NEVER), STATES) == 0.0


def test_one_that_always_speaks_agrees_where_the_other_speaks() -> None:
    speaks = float(np.mean(_policy(HIGH).actions(STATES) != 0))
    assert agreement(_policy(ALWAYS), _policy(HIGH), STATES) == pytest.approx(speaks)


def test_two_that_never_intervene_agree() -> None:
    assert agreement(_policy(NEVER), _policy([-2.0, 0.0, 0.0]), STATES) == 1.0
