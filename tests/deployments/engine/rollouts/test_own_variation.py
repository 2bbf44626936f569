"""Contexts in which an app varies: an app with a rule has none, however the rule looks, and one that varies has most."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.engine.rollouts.own_variation import varying_parts
from tests.deployments.engine.rollouts.own_worlds import AT_RANDOM, RULES, lived


def varying(rule: str, **more: int) -> float:
    """The share of decisions in a context in which the app varies."""
    own = lived(rule, **more)
    return float((varying_parts(own.person, own.state, own.action == 1) >= 0).mean())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_what_a_rule_decides_was_never_tried_otherwise(rule: str, seed: int) -> None:
    assert varying(rule, seed=seed) == 0.0


@pytest.mark.parametrize("rule", AT_RANDOM)
def test_what_varies_by_itself_was_tried(rule: str) -> None:
    assert varying(rule) > 0.9


def test_an_app_that_leans_is_split_where_it_leans() -> None:
    own = lived("leaning")
    parts = varying_parts(own.person, own.state, own.action == 1)
    sides = [own.state[parts == part, 0] > 0 for part in range(parts.max() + 1)]
    mixed = sum(min(side.sum(), (~side).sum()) for side in sides) / len(parts)
    assert len(sides) > 1 and mixed < 0.02, "contexts with other odds are not one part"


def test_a_rule_in_half_of_the_contexts_leaves_the_other_half() -> None:
    own = lived("at random")
    took = np.where(own.state[:, 1] > 0, own.action == 1, own.state[:, 0] > 0)
    parts = varying_parts(own.person, own.state, took)
    assert (parts[own.state[:, 1] > 0.1] >= 0).mean() > 0.9
    assert (parts[own.state[:, 1] < -0.1] >= 0).mean() < 0.02


def test_too_few_people_on_one_side_are_no_variation() -> None:
    assert varying("at random", people=19) == 0.0
    own = lived("at random")
    rare = (own.action == 1) & (own.person < 30) & (own.state[:, 2] > 0.5)
    assert rare.mean() < 0.05 and (varying_parts(own.person, own.state, rare) < 0).all(), "one in twenty at least"
