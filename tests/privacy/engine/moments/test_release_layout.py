"""What a release holds, by name, and how its budget is divided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loops.engine.spec import Feature, Head
from privacy.engine.moments.release_layout import ReleaseLayout, alternatives_of, covariance_of, logged_of, sub_block
from tests.factories.planted import planted_spec

SPEC = replace(
    planted_spec(),
    features=(*planted_spec().features, Feature("place", "drift", categories=("home", "work", "away"))),
    heads=(
        Head("policy", ("ping", "wait", "hug"), "wait", (0.3, 0.5, 0.2)),
        Head("tone", ("warm", "calm"), "warm", (0.5, 0.5), when="intervening"),
        Head("length", ("short", "long"), "short", (0.7, 0.3), when="intervening"),
    ),
)
LAYOUT = ReleaseLayout.of(SPEC, hinges=False)


def test_without_sub_heads_the_blocks_have_the_whole_budget() -> None:
    assert ReleaseLayout.of(SPEC, hinges=False, subs=()).shares == {
        "counts": 0.03, "gram": 0.24, "targets": 0.10, "effects": 0.56, "variances": 0.0395, "shares": 0.03,
    }  # fmt: skip


def test_sub_heads_have_a_tenth_of_the_budget_divided_equally_but_for_their_action_shares() -> None:
    expected = {
        "counts": 0.027,
        "gram": 0.216,
        "targets": 0.09,
        "effects": 0.504,
        "variances": 0.03555,
        "shares": 0.027,
    }
    expected |= {"effects_tone": 0.0425, "effects_length": 0.0425, "shares_of_heads": 0.015}
    assert LAYOUT.shares == pytest.approx(expected)
    one = ReleaseLayout.of(SPEC, hinges=False, subs=("tone",)).shares
    assert one == pytest.approx({k: v for k, v in expected.items() if k != "effects_length"} | {"effects_tone": 0.085})
    assert sub_block("tone") == "effects_tone"


def test_all_sub_heads_are_in_unless_some_are_named() -> None:
    assert LAYOUT.subs == ("tone", "length")
    assert ReleaseLayout.of(SPEC, hinges=False, subs=("length",)).subs == ("length",)


def test_targets_are_the_reward_what_is_learned_and_leaving_where_it_is_logged() -> None:
    leaving = ReleaseLayout.of(replace(SPEC, imports=replace(SPEC.imports, left="gone")), hinges=False)
    assert LAYOUT.targets == ("reward", "mood") and not LAYOUT.logs_leaving
    assert leaving.targets == ("reward", "mood", "left") and leaving.logs_leaving
    assert leaving.changes.tolist() == [False, True, False]
    assert leaving.target_weights.tolist() == [1.0, 0.6, 1.0]
    assert LAYOUT.learned == (0,) and LAYOUT.drift_categories == (2,)


@pytest.mark.parametrize(
    ("rule", "same"),
    [("next_row", False), ("next_row_same_day", True), ("next_available", False), ("next_available_same_day", True)],
)
def test_the_rule_of_next_states_tells_whether_they_cross_a_day(rule: str, same: bool) -> None:
    spec = replace(SPEC, imports=replace(SPEC.imports, next_state=rule))  # type: ignore[arg-type]
    assert ReleaseLayout.of(spec, hinges=False).same_day is same


def test_actions_stand_for_themselves_and_the_reference_for_the_rest() -> None:
    head = SPEC.main_head
    assert LAYOUT.alternatives == alternatives_of(head) == (0, 2)
    assert LAYOUT.logged.tolist() == logged_of(head).tolist() == [0.3, 0.2]
    np.testing.assert_allclose(LAYOUT.covariance, [[0.3 * 0.7, -0.06], [-0.06, 0.2 * 0.8]])
    np.testing.assert_array_equal(covariance_of(head), LAYOUT.covariance)


def test_the_linear_layout_is_the_leading_part_of_the_one_with_hinges() -> None:
    bent = ReleaseLayout.of(SPEC, hinges=True)
    assert bent.phi.names[: LAYOUT.phi.width] == bent.linear().phi.names == LAYOUT.phi.names
    assert bent.phi.width == LAYOUT.phi.width + 2, "a hinge for mood and one for energy"
